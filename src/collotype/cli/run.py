"""`collotype run`."""

import json
from typing import Annotated

import typer

from collotype.cli.options import Json, Out, Overwrite, RecipeName, Resume, Set, Smoke, Track


def run(
    recipe: RecipeName,
    out: Out = None,
    set_: Set = [],  # noqa: B006 - typer makes a fresh list
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with this many seeds; report mean and spread.")] = 1,
    smoke: Smoke = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    track: Track = [],  # noqa: B006 - typer makes a fresh list
    as_json: Json = False,
) -> None:
    """Check, train, evaluate and report a recipe. Exit status 3: done, but not reproduced."""
    from rich.console import Console

    from collotype import pipeline
    from collotype.cli.terminal import Terminal, print_spread, print_verdict
    from collotype.recipe.load import parse_overrides

    terminal = Terminal(quiet=as_json)
    how = {"smoke": smoke, "resume": resume, "overwrite": overwrite, "track": track}
    settings = {"overrides": parse_overrides(set_), "listener": terminal, **how}
    try:
        if seeds == 1:
            finished = pipeline.run(recipe, out, **settings)
            folder, outcome = finished.folder, {"results": finished.results, "verdict": finished.verdict}
        else:
            folder, outcome = pipeline.run_seeds(recipe, seeds, out, **settings)
    finally:
        terminal.close()
    if as_json and pipeline.is_main_process():
        print(json.dumps({"folder": str(folder), **outcome}))
    elif seeds > 1 and pipeline.is_main_process():
        print_spread(Console(), outcome["results"], seeds)
        print_verdict(Console(), outcome["verdict"], outcome["recipe"]["expect"])
        print(f"report: {folder / 'report.html'}")
    if outcome["verdict"] and not outcome["verdict"]["reproduced"]:
        raise typer.Exit(3)
