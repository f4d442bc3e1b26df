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
    """List what there is: recipes, models, losses, presets, suites, layouts, published results."""
    from collotype import families
    from collotype.losses.named import loss_names
    from collotype.recipe import builtin_names
    from collotype.recipe.load import first_line
    from collotype.report import published

    if kind is Kind.RECIPES:
        for name in builtin_names():
            print(f"{name:<20}{first_line(name)}")
    elif kind is Kind.PUBLISHED:
        for result in map(published.load, published.names()):
            print(f"{result.name:<28}{result.in_short:<46}{result.model}")
    else:
        print("\n".join(loss_names() if kind is Kind.LOSSES else families.known(kind)))
