"""Dataclasses from user input: typed, checked, with the bad field named."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from collotype.runtime.errors import UserError


def positive(owner: str, values: Mapping[str, Any] | Mapping[int, Any], kind: type = int) -> None:
    """
    Raises:
        UserError: one of the values is not a positive number of that kind.
    """
    for name, value in values.items():
        numbers = (int,) if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, numbers) or value <= 0:
            raise UserError(f"{owner}.{name} is {value!r}; it must be a positive {kind.__name__}.")


def make(kind: type, values: Mapping[str, Any], owner: str) -> Any:
    """The dataclass of these values.

    Raises:
        UserError: a field is missing or unknown.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{owner} is {values!r}; it must be an object with fields.")
    names = [each.name for each in fields(kind)]
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise UserError(
            f"{owner} has the unknown fields {', '.join(unknown)}; the known fields are {', '.join(names)}."
        )
    try:
        return kind(**values)
    except TypeError as error:
        raise UserError(f"{owner} is incomplete ({error}); its fields are {', '.join(names)}.") from error
