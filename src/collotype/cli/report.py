"""`collotype report`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run or study.")],
) -> None:
    """Rebuild report.html from the files of a run or study."""
    from collotype.report.html import write_report, write_study_report

    write = write_study_report if (folder / "study.json").is_file() else write_report
    print(f"report: {write(folder)}")
