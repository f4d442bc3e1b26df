"""`collotype evaluate`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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

if TYPE_CHECKING:
    from collotype.evaluation.results import Measured
    from collotype.recipe.evaluate import Evaluate

    MeasuredBy = dict[str, list[Measured]]


Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="Model folders, hub names (NAME@REVISION), bm25 or reader.")
]
DatasetName = Annotated[
    str | None, typer.Option(help="Name of your own dataset in the results [default: the last part of --path].")
]
Only = Annotated[list[str], typer.Option(metavar="DATASET", help="ViDoRe: evaluate only this dataset; repeatable.")]
Split = Annotated[str | None, typer.Option(help="The split to evaluate [default: test; vqav2: val].")]
Counting = Annotated[
    Literal["mteb", "vidore-benchmark"] | None,
    typer.Option(help="The protocol for merging duplicates and ranking pages [default: mteb]."),
]
LooksAt = Annotated[
    Literal["image", "text", "both"] | None,
    typer.Option(help="Retrievers: embed a page's image, its text as a query, or both [default: image]."),
]
ClassNames = Annotated[str | None, typer.Option(help="labelled: a file of class names, one per line.")]
Templates = Annotated[
    Literal["openai", "simple", "none"] | None,
    typer.Option(help="labelled: the prompt templates for class names [default: the dataset's, or openai]."),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Your own data: use only the first N rows; --stability: N pages [32].")
]
HeldOut = Annotated[
    Path | None, typer.Option(help="vqav2, val: the file that lists its images [default: held-out.json in --path].")
]
BlankPictures = Annotated[
    bool,
    typer.Option(
        "--blank-pictures", help="BEiT-3: replace the images with grey ones, to measure what the text alone gives."
    ),
]
ResultsFolder = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for result files and submissions; a stopped evaluation resumes there."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Do not read or write cached embeddings.")]
Precision = Annotated[
    Literal["fp32", "bf16", "fp16", "auto"],
    typer.Option(help="Precision of matrix products; use bf16 or fp16 on GPUs."),
]
MaxVisualTokens = Annotated[
    int | None, typer.Option(min=1, help="Retrievers: the visual budget of a page [default: the model's own].")
]
Stability = Annotated[
    bool,
    typer.Option(
        "--stability",
        help="Retrievers: measure instead what batch, padding, precision and attention kernel change in scores.",
    ),
]


def evaluate(
    models: Models,
    suite: Suite = None,
    path: DataPath = None,
    name: DatasetName = None,
    data_dir: DataDir = None,
    only: Only = [],  # noqa: B006 - typer makes a fresh list
    split: Split = None,
    counting: Counting = None,
    looks_at: LooksAt = None,
    names: ClassNames = None,
    templates: Templates = None,
    limit: Limit = None,
    held_out: HeldOut = None,
    blank_pictures: BlankPictures = False,
    out: ResultsFolder = None,
    cache: CacheFolder = None,
    no_cache: NoCache = False,
    batch_tokens: BatchTokens = None,
    precision: Precision = "fp32",
    dtype: Dtype = None,
    dim: Dim = None,
    pool_factor: PoolFactor = None,
    untrained: Untrained = False,
    preset: Preset = None,
    max_visual_tokens: MaxVisualTokens = None,
    base: Base = None,
    activation: Activation = None,
    tokenizer: Tokenizer = None,
    answers: Answers = None,
    stability: Stability = False,
    as_json: Json = False,
) -> None:
    """Evaluate models, or the bm25 and reader baselines, on a suite."""
    from collotype import families
    from collotype.recipe.load import load_evaluation
    from collotype.runtime.files import cache_folder

    family = families.family_of(models[0])
    keys: dict[str, Any] = {"path": path, "name": name, "data_dir": data_dir, "only": only, "split": split}
    keys |= {"counting": counting, "looks_at": looks_at, "names": names, "templates": templates}
    keys |= {"held_out": held_out, "limit": None if stability else limit, "blank_pictures": blank_pictures or None}
    keys |= {"dim": dim, "pool_factor": pool_factor, "untrained": untrained or None}
    choice = load_evaluation(family, suite=suite or families.family(family).default_suite, **keys)
    options: dict[str, Any] = {"preset": preset, "base": base, "activation": activation, "tokenizer": tokenizer}
    options |= {"answers": answers, "dtype": dtype, "max_visual_tokens": max_visual_tokens}
    if stability:
        require_alone(models, dtype=dtype, batch_tokens=batch_tokens, precision=precision.replace("fp32", "") or None)
        show_stability(families.stability(models, choice, limit, **options), out, as_json)
        return
    cache = None if no_cache else cache or cache_folder()
    show_evaluation(measure(models, choice, cache, batch_tokens, out, precision, **options), out, as_json)


def measure(models: list[str], choice: "Evaluate", cache: Path | None, *settings: Any, **options: Any) -> "MeasuredBy":
    """The models first, then the baselines, whose encoders read words.

    Args:
        settings, options: as of `families.evaluate`, after `cache`.
    """
    from collotype import families
    from collotype.runtime.world import World
    from collotype.search.encoders import READERS
    from collotype.search.evaluation import evaluate as evaluate_words

    trained = [model for model in models if model not in READERS]
    measured = families.evaluate(trained, choice, cache, *settings, **options)
    for model in [model for model in models if model in READERS]:
        measured[model] = evaluate_words(model, choice, World.from_environment(), cache)
    return measured


def show_evaluation(measured: "MeasuredBy", out: Path | None, as_json: bool) -> None:
    """Results as a table or JSON, and as files in `out`; on the main process."""
    from collotype import __version__, families
    from collotype.evaluation.exchange import write_all
    from collotype.evaluation.results import results_of
    from collotype.runtime.world import World

    if not World.from_environment().is_main:
        return
    for model, found in measured.items():
        if folder := families.out_of(out, model, list(measured)):
            write_all(folder, model, __version__, found)
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
        raise UserError(f"--stability measures a retriever's embeddings, but {model} is a baseline; leave it out.")
    for name, value in given.items():
        if value is not None:
            raise UserError(
                f"--stability varies what --{name.replace('_', '-')} {value} would set; leave one of them out."
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


def show(measured: "MeasuredBy") -> None:
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
