"""`collotype compress`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from collotype.cli.options import Base, CacheFolder, DataDir, DataPath, Dtype, Json, ModelSource, Preset, Suite


def compress(
    model: ModelSource,
    suite: Suite = None,
    path: DataPath = None,
    data_dir: DataDir = None,
    factors: Annotated[
        str, typer.Option(help="Pooling factors (how many vectors become one), separated by commas.")
    ] = "2,3,4,6",
    methods: Annotated[str, typer.Option(help="Pooling methods, separated by commas.")] = "hierarchical,fast",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Also write the results as JSON.")] = None,
    cache: CacheFolder = None,
    preset: Preset = None,
    base: Base = None,
    dtype: Dtype = None,
    as_json: Json = False,
) -> None:
    """Measure what pooling a model's page vectors saves and costs.

    Reports size and quality for each factor and method.
    """
    from rich.console import Console

    from collotype.cli.terminal import compression_tables
    from collotype.families.retriever import commands
    from collotype.recipe.load import load_evaluation
    from collotype.runtime.files import cache_folder, write_json

    ways = whole_numbers(factors), methods.split(",")
    choice = load_evaluation("retriever", suite=suite or commands.SPEC.default_suite, path=path, data_dir=data_dir)
    rows = commands.compress(model, choice, *ways, cache or cache_folder(), preset, base, dtype)
    if out:
        write_json(out, rows)
    if as_json:
        print(json.dumps(rows))
    else:
        for table in compression_tables(rows):
            Console().print(table)


def whole_numbers(text: str) -> list[int]:
    """ "2,3" as [2, 3].

    Raises:
        UserError: something in it is not a whole number.
    """
    from collotype.runtime.errors import UserError

    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise UserError(f"--factors is {text!r}; give whole numbers by commas, such as 2,3,4.") from None
