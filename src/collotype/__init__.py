"""Collotype: train, evaluate, reproduce and serve vision–language models.

run = collotype.run("desk-colpali", out="runs/x", overrides={"train.steps": 8})
model = collotype.load("runs/x/model")
"""

from typing import TYPE_CHECKING

from collotype.runtime.lazy import lazy

if TYPE_CHECKING:  # what type checkers and the API reference read; at run time `__getattr__` imports on demand
    from collotype.families import load as load
    from collotype.losses.maxsim import maxsim as maxsim
    from collotype.recipe import Recipe as Recipe
    from collotype.recipe import load_recipe as load_recipe
    from collotype.runner import Run as Run
    from collotype.runner import run as run
    from collotype.runtime.errors import UserError as UserError
    from collotype.search.index import Index as Index
    from collotype.study import run_study as run_study

__version__ = "0.1.0"

_PUBLIC = {
    "Index": "collotype.search.index",
    "Recipe": "collotype.recipe",
    "Run": "collotype.runner",
    "load": "collotype.families",
    "load_recipe": "collotype.recipe",
    "maxsim": "collotype.losses.maxsim",
    "run": "collotype.runner",
    "run_study": "collotype.study",
    "UserError": "collotype.runtime.errors",
}
__all__ = sorted(_PUBLIC)
__getattr__ = lazy(__name__, _PUBLIC)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
