"""Model cards in Markdown, from the record of the run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collotype.evaluation.results import cells, columns, display_name
from collotype.runtime.errors import UserError
from collotype.runtime.hub.commits import in_words, used


def find_record(model_folder: Path) -> dict[str, Any]:
    """The record of the run whose `model` folder this is; empty if it is not a run's."""
    file = model_folder.parent / "record.json"
    if not file.is_file():
        return {}
    try:
        record: dict[str, Any] = json.loads(file.read_text())
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); copy the model's folder elsewhere, then export it.") from error
    return record


def card(
    source: Path, metadata: Mapping[str, Any], what: str, facts: Mapping[str, str], record: Mapping[str, Any]
) -> str:
    """Markdown with the hub's metadata block.

    Args:
        source: the model's folder, for a name where the record has none.
        what: a sentence or two, Markdown.
        facts: a table of what whoever uses the model must know.
        record: as `find_record` gives it.
    """
    name, facts = record.get("recipe", {}).get("name", source.name), {**facts, **from_hub(used())}
    lines = ["---", *(f"{key}: {value}" for key, value in metadata.items()), "---", f"# {name}", "", what, ""]
    lines += table(facts)
    if record:
        lines += ["", "## How it was trained", "", *table(training(record))]
        if record["results"]:
            lines += ["", "## Results", "", *results(record["results"])]
    return "\n".join([*lines, ""])


def table(facts: Mapping[str, Any]) -> list[str]:
    return ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in facts.items())]


def training(record: Mapping[str, Any]) -> dict[str, str]:
    recipe, plan, data = record["recipe"], record["plan"], record["data"]["train"]
    train = recipe["train"]
    return {
        "recipe": recipe["name"],
        "started from": recipe["model"]["weights"] or "random weights",
        **from_hub(record.get("hub", {})),
        "data": f"{data['examples']} examples",
        "loss": f"{recipe['loss']['name']}, {plan['negatives_per_query']} negatives per query",
        "steps × batch": f"{train['steps']} × {train['batch']}",
        "optimiser": f"{train['optimizer']['name']}, learning rate {train['optimizer']['lr']}",
        "precision, seed": f"{plan['precision']}, {train['seed']}",
    }


def from_hub(commits: Mapping[str, str]) -> dict[str, str]:
    """A table's row of what came from the hub, if anything did."""
    return {"from the hub": in_words(commits)} if commits else {}


def results(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    names = columns(found)
    head = ["| dataset | " + " | ".join(map(display_name, names)) + " |", "| --- |" + " --- |" * len(names)]
    return head + [f"| {dataset} | " + " | ".join(cells(metrics, names)) + " |" for dataset, metrics in found.items()]
