"""The recipe classes of each family, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from collotype import registry
from collotype.recipe.evaluate import Evaluate
from collotype.recipe.schema import Recipe

Values = Mapping[str, Any]
"""A section of a recipe before it is checked."""


@dataclass(frozen=True)
class RecipeSpec:
    """
    Args:
        recipe: the family's kind of recipe.
        smoke_form: of the sections `model` and `data` and the batch of a smoke form, the sections that differ in it.
    """

    recipe: type[Recipe]
    smoke_form: Callable[[Values, Values, int], dict[str, Any]]

    @property
    def evaluate(self) -> type[Evaluate]:
        """The kind of an entry of its recipes' `evaluate`."""
        kind: type[Evaluate] = get_args(self.recipe.model_fields["evaluate"].annotation)[0]
        return kind


def recipe_spec(family: str) -> RecipeSpec:
    found: RecipeSpec = registry.spec(family, "recipe")
    return found
