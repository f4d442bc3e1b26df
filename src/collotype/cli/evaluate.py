"""`collotype evaluate`."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from collotype.cli.options import (
    Activation,
    Answers,
    Base,
    BatchTokens,
    CacheFolder,
    DataDir,
    DataPath,
    Dim,
    Dtype,
    Json,
    PoolFactor,
    Preset,
    Suite,
    Tokenizer,
    Untrained,
)


def evaluate(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Model folders, hub names (NAME@REVISION), bm25 or reader.")
    ],
    suite: Suite = None,
    path: DataPath = None,
    name: Annotated[
        str | None, typer.Option(help="Name of your own dataset in the results [default: the last part of --path].")
    ] = None,
    data_dir: DataDir = None,
    only: Annotated[
        list[str], typer.Option(metavar="DATASET", help="ViDoRe: evaluate only this dataset; repeatable.")
    ] = [],  # noqa: B006
    split: Annotated[str | None, typer.Option(help="The split to evaluate [default: test; vqav2: val].")] = None,
    counting: Annotated[
        Literal["mteb", "vidore-benchmark"] | None,
        typer.Option(help="The protocol for merging duplicates and ranking pages [default: mteb]."),
    ] = None,
    looks_at: Annotated[
        Literal["image", "text", "both"] | None,
        typer.Option(help="Retrievers: embed a page's image, its text as a query, or both [default: image]."),
    ] = None,
    names: Annotated[str | None, typer.Option(help="labelled: a file of class names, one per line.")] = None,
    templates: Annotated[
        Literal["openai", "simple", "none"] | None,
        typer.Option(help="labelled: the prompt templates for class names [default: the dataset's, or openai]."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Your own data: use only the first N rows; --stability: N pages [32].")
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="vqav2, val: the file that lists its images [default: held-out.json in --path].")
    ] = None,
    blank_pictures: Annotated[
        bool,
        typer.Option(
            "--blank-pictures", help="BEiT-3: replace the images with grey ones, to measure what the text alone gives."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for result files and submissions; a stopped evaluation resumes there."),
    ] = None,
    cache: CacheFolder = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Do not read or write cached embeddings.")] = False,
    batch_tokens: BatchTokens = None,
    precision: Annotated[
        Literal["fp32", "bf16", "fp16", "auto"],
        typer.Option(help="Precision of matrix products; use bf16 or fp16 on GPUs."),
    ] = "fp32",
    dtype: Dtype = None,
    dim: Dim = None,
    pool_factor: PoolFactor = None,
    untrained: Untrained = False,
    preset: Preset = None,
    max_visual_tokens: Annotated[
        int | None, typer.Option(min=1, help="Retrievers: the visual budget of a page [default: the model's own].")
    ] = None,
    base: Base = None,
    activation: Activation = None,
    tokenizer: Tokenizer = None,
    answers: Answers = None,
    stability: Annotated[
        bool,
        typer.Option(
            "--stability",
            help="Retrievers: measure instead what batch, padding, precision and attention kernel change in scores.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Evaluate models, or the bm25 and reader baselines, on a suite."""
    import collotype
    from collotype import families
    from collotype.evaluation.exchange import write_all
    from collotype.evaluation.results import results_of
    from collotype.recipe.load import load_evaluation
    from collotype.runtime.files import cache_folder
    from collotype.runtime.world import World
    from collotype.search.encoders import READERS
    from collotype.search.evaluation import evaluate as evaluate_words

    family = families.family_of(models[0])
    keys: dict[str, Any] = {
        "path": path,
        "name": name,
        "data_dir": data_dir,
        "only": only,
        "split": split,
        "counting": counting,
    }
    keys |= {"names": names, "templates": templates, "limit": None if stability else limit, "held_out": held_out}
    keys |= {"blank_pictures": blank_pictures or None, "dim": dim, "pool_factor": pool_factor}
    keys |= {"untrained": untrained or None, "looks_at": looks_at}
    choice = load_evaluation(family, suite=suite or families.family(family).default_suite, **keys)
    kept = None if no_cache else cache or cache_folder()
    options: dict[str, Any] = {
        "preset": preset,
        "base": base,
        "activation": activation,
        "tokenizer": tokenizer,
        "answers": answers,
    }
    options |= {"dtype": dtype, "max_visual_tokens": max_visual_tokens}
    if stability:
        require_alone(models, dtype=dtype, batch_tokens=batch_tokens, precision=precision.replace("fp32", "") or None)
        return show_stability(families.stability(models, choice, limit, **options), out, as_json)
    trained = [model for model in models if model not in READERS]
    measured = families.evaluate(trained, choice, kept, batch_tokens, out, precision, **options)
    for model in [model for model in models if model in READERS]:
        measured[model] = evaluate_words(model, choice, World.from_environment(), kept)
    if not World.from_environment().is_main:
        return
    for model, found in measured.items():
        if folder := families.out_of(out, model, models):
            write_all(folder, model, collotype.__version__, found)
    results = {model: results_of(found) for model, found in measured.items()}
    if as_json:
        print(json.dumps(results if len(results) > 1 else next(iter(results.values()))))
    else:
        show(measured)


def require_alone(models: list[str], **given: object) -> None:
    """
    Raises:
        UserError: an option is given that --stability varies itself, or a baseline without embeddings.
    """
    from collotype.runtime.errors import UserError

    for model in {"bm25", "reader"} & set(models):
        raise UserError(f"--stability is about a retriever's embeddings, and {model} is a baseline; leave it out.")
    for name, value in given.items():
        if value is not None:
            raise UserError(
                f"--stability itself varies what --{name.replace('_', '-')} {value} would set; leave one of them out."
            )


def show_stability(found: dict[str, dict[str, Any]], out: Path | None, as_json: bool) -> None:
    """A table for each model; with `out` also `stability.json` there."""
    from rich.console import Console

    from collotype.cli.terminal import stability_table
    from collotype.runtime.files import write_json

    values = found if len(found) > 1 else next(iter(found.values()))
    if out:
        write_json(out / "stability.json", values)
    if as_json:
        print(json.dumps(values))
        return
    for model, one in found.items():
        Console().print(stability_table(model, one))


def show(measured: dict[str, list[Any]]) -> None:
    """A table with a row for each dataset and model, and what was merged, left out or not as published."""
    from rich.console import Console

    from collotype.cli.terminal import evaluation_table

    console = Console()
    console.print(evaluation_table(measured))
    lines: dict[str, list[str]] = {}
    for model, found in measured.items():
        for one in found:
            for event in one.facts.get("events", ()):
                subset = f" ({event['subset']})" if "subset" in event else ""
                line = f"{one.dataset}{subset}: {event['kind']}: {event['count']}, {event['note']}"
                lines.setdefault(line, []).append(model)
    for line, models in lines.items():
        of = "" if len(models) == len(measured) else f" ({', '.join(models)})"
        console.print(line + of, highlight=False, soft_wrap=True)
