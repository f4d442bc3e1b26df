"""Collotype: train, evaluate, reproduce and serve vision–language models.

run = collotype.run("desk-colpali", out="runs/x", overrides={"train.steps": 8})
model = collotype.load("runs/x/model")
"""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "Index": "collotype.search.index",
    "Recipe": "collotype.recipe",
    "load": "collotype.families",
    "load_recipe": "collotype.recipe",
    "maxsim": "collotype.losses.maxsim",
    "run": "collotype.pipeline",
    "run_study": "collotype.study",
    "UserError": "collotype.runtime.errors",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'collotype' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
