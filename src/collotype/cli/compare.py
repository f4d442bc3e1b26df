"""`collotype compare`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from collotype.cli.options import Json


def compare(
    one: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    other: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of another.")],
    as_json: Json = False,
) -> None:
    """Show two finished runs side by side: what differs between them, and their results."""
    from rich.console import Console

    from collotype.cli.terminal import comparison_tables
    from collotype.report.compare import compare_runs

    found = compare_runs(one, other)
    if as_json:
        print(json.dumps(found))
        return
    console = Console()
    for table in comparison_tables(found):
        console.print(table)
    for folder in (one, other):
        console.print(f"report: {folder / 'report.html'}", soft_wrap=True, highlight=False)
