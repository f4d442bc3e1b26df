"""From a recipe to a run directory: check, train, evaluate, report."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # at run time `__getattr__` imports on demand: a check takes no torch
    from collotype.runner.callbacks import Callback as Callback
    from collotype.runner.execution import is_main_process as is_main_process
    from collotype.runner.execution import prepare as prepare
    from collotype.runner.execution import run as run
    from collotype.runner.planning import check as check
    from collotype.runner.planning import resolve as resolve
    from collotype.runner.result import Run as Run

_MODULES = {
    "Callback": "callbacks",
    "Run": "result",
    "check": "planning",
    "is_main_process": "execution",
    "prepare": "execution",
    "resolve": "planning",
    "run": "execution",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'collotype.runner' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"collotype.runner.{_MODULES[name]}"), name)
