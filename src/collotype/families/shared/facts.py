"""The base class of the families' facts."""

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from collotype.recipe import Recipe
from collotype.runtime.hub import Need
from collotype.training.facts import needs_by_use

R = TypeVar("R", bound=Recipe)


class FamilyFacts(Generic[R]):
    """A base for a family's facts; what it gives can be overridden."""

    def __init__(self, recipe: R):
        self.recipe = recipe

    @property
    def batch_norm_group(self) -> int | None:
        return None

    @property
    def init_seed(self) -> int:
        seed = self.recipe.model.init_seed
        return self.recipe.train.seed if seed is None else seed

    def framing(self) -> dict[str, Any]:
        return {}

    def require_possible(self) -> None:
        """Nothing beside what any recipe asks for."""

    def needs_by_use(
        self, of_weights: Callable[..., list[Need]], of_suite: Callable[..., list[Need]], of_source: Callable[..., Any]
    ) -> dict[str, Callable[[], list[Need]]]:
        """
        Args:
            of_weights: asked with `model.weights`, if the recipe has some.
        """
        name = self.recipe.model.weights
        return needs_by_use(self.recipe, partial(of_weights, name) if name else None, of_suite, of_source)
