"""`collotype submit`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def submit(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="The folder that `evaluate` got as --out.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Clone of the results repository, or a new folder.")],
) -> None:
    """Write an evaluation as mteb's results repository takes it.

    The files are for a pull request there.
    """
    from collotype.evaluation.submission import submit as write_submission

    done = write_submission(results, to)
    for line in done.left_out:
        print(f"left out: {line}", file=sys.stderr)
    for file in done.written:
        print(file)
    if not done.written:
        print(f"{to} has them all.")
