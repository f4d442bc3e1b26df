"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A built-in recipe's name, a file, or a run directory.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Run directory [default: runs/NAME].")]
Set = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. train.steps=8; repeatable.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the run directory.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete the run that is in the run directory first.")]
Track = Annotated[
    list[str],
    typer.Option("--track", metavar="NAME", help="Also tell tensorboard, wandb or trackio; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON and nothing else.")]
