"""`collotype report`."""

from pathlib import Path
from typing import Annotated

import typer


def report(folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")]) -> None:
    """Write a finished run's report.html again from its files."""
    from collotype.report.html import write_report, write_seeds_report

    write = write_seeds_report if (folder / "seeds.json").is_file() else write_report
    print(f"report: {write(folder)}")
