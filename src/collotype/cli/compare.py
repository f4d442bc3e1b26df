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
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write a page, with curves.")] = None,
    as_json: Json = False,
) -> None:
    """Show two runs, or a run and a published result, side by side: their results, and what differs between them."""
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
