"""Looks up evaluation suites by name."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from collotype.recipe.evaluate import Evaluate
from collotype.runtime.errors import UserError

B = TypeVar("B")
"""What a suite gives."""


def require_suite(choice: Evaluate, suites: Mapping[str, object], model: str) -> None:
    """
    Args:
        model: what is evaluated, with its article.

    Raises:
        UserError: no such suite.
    """
    if choice.suite not in suites:
        raise UserError(f"Unknown suite {choice.suite!r}; {model} can be evaluated on {', '.join(suites)}.")


def need_path(choice: Evaluate, data: str) -> str:
    """
    Raises:
        UserError: a suite of the user's own data has no path.
    """
    if choice.path is None:
        raise UserError(f"The suite {choice.suite} needs your own {data}; give its path with --path.")
    return choice.path


class OpenedSuites(Generic[B]):
    """A run's suites, each opened once, however often it is evaluated."""

    def __init__(self, open_suite: Callable[..., B]):
        self.open_suite = open_suite
        self.opened: dict[str, B] = {}

    def __call__(self, choice: Evaluate) -> B:
        asked = choice.model_dump_json(exclude={"every_steps"})
        if asked not in self.opened:
            self.opened[asked] = self.open_suite(choice)
        return self.opened[asked]
