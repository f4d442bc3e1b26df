"""Many runs of one recipe: a variant's mean and spread over seeds, and its difference from the first variant."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collotype.evaluation.results import Results, display_name, headline
from collotype.recipe import Recipe
from collotype.report.seed_statistics import spread_of_results
from collotype.report.verdict import judge
from collotype.runtime.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What one value of what is varied gave."""

    name: str
    """Empty where nothing is varied but the seed."""
    changes: Mapping[str, Any]
    seeds: Sequence[int]
    folders: Sequence[str]
    """Of the runs, below the study's."""
    results: Sequence[Results]


def summarise(recipe: Recipe, variants: Sequence[Variant]) -> dict[str, Any]:
    """What `study.json` holds: recipe, variants, and the verdict on the mean where nothing is varied but the seed.

    A variant has name, changes, runs (seed and folder), results (`spread` by dataset and metric), and likewise the
    differences from the first variant, seed by seed.
    """
    first = variants[0].results
    rows: list[dict[str, Any]] = [
        {
            "name": one.name,
            "changes": dict(one.changes),
            "runs": [{"seed": seed, "folder": folder} for seed, folder in zip(one.seeds, one.folders, strict=True)],
            "results": spread_of_results(one.results),
            "differences": spread_of_results([*map(minus, one.results, first)]) if one is not variants[0] else {},
        }
        for one in variants
    ]
    verdict = judge(recipe, means(rows[0]["results"])) if recipe.study is None else None
    return {"recipe": recipe.model_dump(), "variants": rows, "verdict": verdict}


def means(results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Results:
    return {name: {metric: found["mean"] for metric, found in of.items()} for name, of in results.items()}


def minus(one: Results, other: Results) -> Results:
    """Of what both have measured."""
    return {
        name: {metric: value - other[name][metric] for metric, value in metrics.items() if metric in other[name]}
        for name, metrics in one.items()
        if name in other
    }


def read_study(folder: Path) -> dict[str, Any]:
    """
    Raises:
        UserError: the folder has no readable study.json.
    """
    try:
        study: dict[str, Any] = json.loads((folder / "study.json").read_text())
        return study
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} has no readable study.json ({error}); repeat the command with --resume, which keeps finished "
            "runs."
        ) from error


def headlines(study: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Dataset and metric of everything its variants have measured, by the headline."""
    return list({name: headline(of) for one in study["variants"] for name, of in one["results"].items()}.items())


def plus_minus(found: Mapping[str, Any] | None, signed: bool = False) -> str:
    """ "0.641 ± 0.015", of one seed without a spread; empty for nothing."""
    if found is None:
        return ""
    shown = f"{found['mean']:{'+' if signed else ''}.3f}"
    return shown if found["std"] is None else f"{shown} ± {found['std']:.3f}"


def table(study: Mapping[str, Any], shown: Sequence[tuple[str, str]]) -> list[list[str]]:
    """A head and a row a variant: seeds, and mean ± spread and the difference from the first variant.

    Args:
        shown: dataset and metric, two columns each.
    """
    varied = study["recipe"]["study"]
    head = ["variant", "seeds"]
    for dataset, metric in shown:
        head += [f"{display_name(metric)} of {dataset}", *(["difference"] if varied else [])]
    rows = []
    for one in study["variants"]:
        row = [one["name"] or study["recipe"]["name"], str(len(one["runs"]))]
        for dataset, metric in shown:
            row.append(plus_minus(one["results"].get(dataset, {}).get(metric)))
            if varied:
                row.append(plus_minus(one["differences"].get(dataset, {}).get(metric), signed=True))
        rows.append(row)
    return [head, *rows]


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
