"""What a rule looks at."""

from dataclasses import dataclass
from typing import Any

from collotype.recipe import Recipe
from collotype.recipe.imports import Origin
from collotype.report.published import Published


@dataclass(frozen=True, kw_only=True)
class Case:
    """A recipe on its way to becoming a run."""

    recipe: Recipe
    plan: dict[str, Any]
    """`make_plan`'s; values that cannot be known here (data or weights that are not there) are missing."""
    reference: Published | None = None
    """What the recipe expects to reproduce."""
    origin: Origin | None = None
    """Where the recipe was imported from."""
