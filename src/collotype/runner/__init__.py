"""From a recipe to a run directory: check, train, evaluate, report."""

from typing import TYPE_CHECKING

from collotype.runtime.lazy import lazy

if TYPE_CHECKING:  # at run time `__getattr__` imports on demand: a check takes no torch
    from collotype.runner.callbacks import Callback as Callback
    from collotype.runner.execution import is_main_process as is_main_process
    from collotype.runner.execution import prepare as prepare
    from collotype.runner.execution import run as run
    from collotype.runner.planning import check as check
    from collotype.runner.planning import resolve as resolve
    from collotype.runner.result import Run as Run

_MODULES = {
    "Callback": "collotype.runner.callbacks",
    "Run": "collotype.runner.result",
    "check": "collotype.runner.planning",
    "is_main_process": "collotype.runner.execution",
    "prepare": "collotype.runner.execution",
    "resolve": "collotype.runner.planning",
    "run": "collotype.runner.execution",
}
__all__ = sorted(_MODULES)
__getattr__ = lazy(__name__, _MODULES)
