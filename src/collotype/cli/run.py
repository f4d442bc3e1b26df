"""`collotype run`."""

import json
from typing import Annotated, Any

import typer

from collotype.cli.options import Json, Out, Overwrite, RecipeName, Resume, Set, Smoke, Track


def run(
    recipe: RecipeName,
    out: Out = None,
    set_: Set = [],  # noqa: B006 - typer makes a fresh list
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Repeat with this many seeds; report mean and spread [default: 1].")
    ] = None,
    smoke: Smoke = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    track: Track = [],  # noqa: B006 - typer makes a fresh list
    as_json: Json = False,
) -> None:
    """Check, train, evaluate and report a recipe or a study.

    Exit status 3 means that the run finished but did not reproduce the expected result.
    """
    from rich.console import Console

    from collotype import runner, study
    from collotype.cli.progress import Terminal
    from collotype.cli.terminal import print_study
    from collotype.recipe import load_recipe
    from collotype.recipe.load import parse_overrides

    terminal, overrides = Terminal(quiet=as_json), parse_overrides(set_)
    settings: dict[str, Any] = {
        "smoke": smoke,
        "resume": resume,
        "overwrite": overwrite,
        "track": track,
        "listener": terminal,
    }
    many = (seeds or 1) > 1 or load_recipe(recipe, overrides, smoke).study is not None
    try:
        if many:
            folder, outcome = study.run_study(recipe, seeds, out, overrides, **settings)
        else:
            finished = runner.run(recipe, out, overrides, **settings)
            folder, outcome = finished.folder, {"results": finished.results, "verdict": finished.verdict}
    finally:
        terminal.close()
    if as_json and runner.is_main_process():
        print(json.dumps({"folder": str(folder), **outcome}))
    elif many and runner.is_main_process():
        print_study(Console(), outcome)
        print(f"report: {folder / 'report.html'}")
    if outcome["verdict"] and not outcome["verdict"]["reproduced"]:
        raise typer.Exit(3)
