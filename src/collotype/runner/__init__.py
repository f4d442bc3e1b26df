"""From a recipe to a run directory: check, train, evaluate, report."""

from collotype.runner.callbacks import Callback
from collotype.runner.execution import is_main_process, run
from collotype.runner.planning import check, prepare, resolve
from collotype.runner.result import Run

__all__ = ["Callback", "Run", "check", "is_main_process", "prepare", "resolve", "run"]
