"""`collotype list`."""

from enum import StrEnum
from typing import Annotated

import typer


class Kind(StrEnum):
    """What can be listed."""

    RECIPES = "recipes"
    MODELS = "models"
    LOSSES = "losses"
    PRESETS = "presets"
    SUITES = "suites"
    LAYOUTS = "layouts"
    PUBLISHED = "published"


def list_(kind: Annotated[Kind, typer.Argument(help="What to list.")] = Kind.RECIPES) -> None:
    """List recipes, models, losses, presets, suites and more."""
    # each its own imports: those of the families take torch
    if kind is Kind.RECIPES:
        from collotype.recipe import builtin_names
        from collotype.recipe.load import first_line

        for name in builtin_names():
            print(f"{name:<20}{first_line(name)}")
    elif kind is Kind.PUBLISHED:
        from collotype.report import published

        for result in map(published.load, published.names()):
            print(f"{result.name:<28}{result.in_short:<46}{result.model}")
    elif kind is Kind.LOSSES:
        from collotype.losses.registry import loss_names

        print("\n".join(loss_names()))
    else:
        from collotype.families import known

        print("\n".join(known(kind.value)))
