"""`collotype compare`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from collotype.cli.options import Json

Side = Annotated[
    str, typer.Argument(metavar="RUN", help="The folder of a finished run or of several seeds, or published:NAME.")
]


def compare(
    one: Side,
    other: Side,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write an HTML page with curves.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two runs, or a run with a published result.

    Shows the results side by side and the settings that differ.
    """
    from rich.console import Console

    from collotype.cli.terminal import print_comparison
    from collotype.preflight.difference_effects import compare_runs
    from collotype.report.html import write_comparison

    found = compare_runs(one, other)
    if html:
        write_comparison(found, html)
    if as_json:
        print(json.dumps(found.as_dict()))
        return
    print_comparison(Console(), found)
    if html:
        print(f"page: {html}")
