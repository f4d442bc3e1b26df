"""`collotype check`."""

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from collotype.cli.options import Json, Set, Smoke


@contextmanager
def without_collecting() -> Iterator[None]:
    """Collecting garbage while so much is imported is a tenth of the time that a check takes."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


RecipeOrForeign = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE or FOREIGN",
        help="A built-in recipe, a recipe file, a run directory, or another tool's config, script or command.",
    ),
]
Against = Annotated[
    str | None, typer.Option(metavar="NAME", help="Compare it with this published result (`collotype list published`).")
]
Processes = Annotated[int | None, typer.Option(min=1, help="For another tool's command: how many GPUs share a batch.")]
Examples = Annotated[
    int | None, typer.Option(min=1, help="For another tool's command: the number of training examples.")
]
Device = Annotated[
    str | None, typer.Option(metavar="CARD", help="Plan for this GPU (e.g. V100) instead of this machine.")
]
Measure = Annotated[bool, typer.Option("--measure", help="Run one micro-batch to measure time and memory.")]
Online = Annotated[
    bool, typer.Option("--online", help="Ask the hub how much a run will download, and whether you have access.")
]
ShowRecipe = Annotated[bool, typer.Option("--recipe", help="Also print the resolved recipe.")]


@without_collecting()
def check(
    recipe: RecipeOrForeign,
    set_: Set = [],  # noqa: B006 - typer makes a fresh list
    smoke: Smoke = False,
    against: Against = None,
    processes: Processes = None,
    examples: Examples = None,
    device: Device = None,
    measure: Measure = False,
    online: Online = False,
    show_recipe: ShowRecipe = False,
    as_json: Json = False,
) -> None:
    """Show the plan of a run and what will change its result.

    Nothing is trained.
    """
    from rich.console import Console

    from collotype import runner
    from collotype.cli.findings import print_check
    from collotype.importers import import_foreign, is_foreign
    from collotype.recipe import parse_recipe, recipe_text
    from collotype.recipe.load import overridden, parse_overrides
    from collotype.runtime.errors import UserError

    overrides, imported = parse_overrides(set_), None
    if is_foreign(recipe):
        imported = import_foreign(recipe, processes, examples)
        made = parse_recipe(overridden(imported.values, overrides, smoke), "The recipe that was made of it")
    elif processes or examples:
        raise UserError(
            f"--processes and --examples are for another tool's command, but {recipe} is a recipe; leave them out."
        )
    else:
        made = runner.resolve(recipe, overrides, smoke)
    origin = imported.origin if imported else None
    resolved, plan = runner.check(made, origin=origin, against=against, card=device, measure=measure, online=online)
    if as_json:
        found = {"origin": asdict(imported.origin), "left_out": [*map(asdict, imported.left_out)]} if imported else {}
        print(json.dumps({"recipe": resolved.model_dump(), "plan": plan, **found}))
        return
    if show_recipe:
        print(recipe_text(resolved))
    print_check(Console(), resolved, plan, imported)
