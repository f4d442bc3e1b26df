"""`collotype report`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run or study.")],
) -> None:
    """Write the report.html of a finished run or study again from its files."""
    from collotype.report.html import write_report, write_study_report

    write = write_study_report if (folder / "study.json").is_file() else write_report
    print(f"report: {write(folder)}")
