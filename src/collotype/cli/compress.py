"""`collotype compress`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from collotype.cli.options import Base, CacheFolder, DataDir, DataPath, Dtype, Json, ModelSource, Preset, Suite

Dims = Annotated[str | None, typer.Option(help="Dimensions, separated by commas [default: those it was trained for].")]
Factors = Annotated[str, typer.Option(help="Pooling factors (how many vectors become one), separated by commas.")]
Methods = Annotated[str, typer.Option(help="Pooling methods (fast, hierarchical), separated by commas.")]
Forms = Annotated[str, typer.Option(help="Storage of page vectors (fp16, int8, bits), separated by commas.")]
Students = Annotated[
    list[str], typer.Option(metavar="MODEL", help="A student that encodes the queries instead; repeatable.")
]
ResultsFile = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Also write the results as JSON, for `index --budget`.")
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Also plot quality against bytes per page, as SVG.")
]


def compress(
    model: ModelSource,
    suite: Suite = None,
    path: DataPath = None,
    data_dir: DataDir = None,
    dims: Dims = None,
    factors: Factors = "2,3,4,6",
    methods: Methods = "fast",
    stored: Forms = "fp16,int8,bits",
    student: Students = [],  # noqa: B006 - typer makes a fresh list
    out: ResultsFile = None,
    plot: Plot = None,
    cache: CacheFolder = None,
    preset: Preset = None,
    base: Base = None,
    dtype: Dtype = None,
    as_json: Json = False,
) -> None:
    """Measure the savings and the cost of smaller pages and queries.

    Reports bytes per page, CPU time per query and quality for each combination of dimension, pooling, storage and
    student.
    """
    from rich.console import Console

    from collotype.cli.terminal import compression_tables
    from collotype.families.retriever import commands
    from collotype.families.retriever.recipe import RetrieverEvaluate
    from collotype.recipe.load import load_evaluation
    from collotype.report.frontier import frontier
    from collotype.runtime.files import cache_folder, write_json, write_text
    from collotype.search.encoders import open_encoder

    ways = whole_numbers(factors, "--factors"), methods.split(",")
    # as a search reads them, which is without torch
    as_search = None if dtype else lambda name, model: open_encoder(name).encode_queries
    forms: dict[str, Any] = {
        "dims": whole_numbers(dims, "--dims") if dims else [],
        "stored": stored.split(","),
        "students": student,
        "encode_of": as_search,
    }
    choice = load_evaluation("retriever", suite=suite or commands.SPEC.default_suite, path=path, data_dir=data_dir)
    assert isinstance(choice, RetrieverEvaluate)
    rows = commands.compress(model, choice, *ways, cache or cache_folder(), preset, base, dtype, **forms)
    if out:
        write_json(out, rows)
    if plot:
        write_text(plot, frontier([row for row in rows if row["dataset"] == rows[0]["dataset"]]))
    if as_json:
        print(json.dumps(rows))
    else:
        for table in compression_tables(rows):
            Console().print(table)


def whole_numbers(text: str, option: str) -> list[int]:
    """ "2,3" as [2, 3].

    Raises:
        UserError: something in it is not a whole number.
    """
    from collotype.runtime.errors import UserError

    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise UserError(f"{option} is {text!r}; give whole numbers separated by commas, such as 2,3,4.") from None
