"""`collotype evaluate`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from collotype.cli.options import Base, Json, ModelSource, Preset


def evaluate(
    model: ModelSource,
    suite: Annotated[str, typer.Option(help="What to evaluate on.")] = "sheets",
    out: Annotated[Path | None, typer.Option("--out", help="Folder for one JSON a dataset.")] = None,
    preset: Preset = None,
    base: Base = None,
    as_json: Json = False,
) -> None:
    """Evaluate a trained model on a suite."""
    from rich.console import Console

    from collotype import families
    from collotype.cli.terminal import results_table
    from collotype.evaluation.results import write_results

    results = families.evaluate(model, suite, preset, base)
    if out:
        write_results(out, results)
    if as_json:
        print(json.dumps(results))
    else:
        Console().print(results_table(str(model), results))
