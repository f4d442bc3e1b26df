"""`collotype submit`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def submit(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="The --out folder of `evaluate`.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Clone of the results repository, or a new folder.")],
) -> None:
    """Write results for mteb's results repository.

    Open a pull request there with the files.
    """
    from collotype.evaluation.submission import submit as write_submission

    done = write_submission(results, to)
    for line in done.left_out:
        print(f"left out: {line}", file=sys.stderr)
    for file in done.written:
        print(file)
    if not done.written:
        print(f"{to} has them all.")
