"""Cells checked for type, with file, row, column and value in the error; never cast."""

import math
import re
from collections.abc import Callable
from typing import Any, overload

from collotype.runtime.errors import UserError
from collotype.runtime.tables.table import Table

GRADES = 2**31
"""Grades are below this, as trec_eval keeps them."""


def cells(table: Table, column: str, read: Callable[[Any], Any], wanted: str) -> list[Any]:
    """A small column, each of its cells as `read` takes it.

    Args:
        read: raises a ValueError for a cell that it does not take.
        wanted: what a cell is to be, for the message.

    Raises:
        UserError: a cell is something else.
    """
    found = []
    for row, value in enumerate(table.values(column)):
        try:
            found.append(read(value))
        except ValueError as error:
            raise wrong_cell(table, row, column, value, f"{wanted}{error}") from None
    return found


def wrong_cell(table: Table, row: int, column: str, value: Any, wanted: str) -> UserError:
    return UserError(f"{in_cell(table, row, column, value)}, not {wanted}; correct the cell or remove the row.")


def in_cell(table: Table, row: int, column: str, value: Any) -> str:
    """Where a cell is, and what it holds."""
    seen = "empty" if value is None else f"{str(value)[:60]!r} ({type(value).__name__})"
    return f"{table.where(row)}, column {column} is {seen}"


def ids(table: Table, column: str) -> list[str]:
    """Texts or whole numbers. A table that lost its whole numbers to floats (pandas does that where one is missing)
    would name other pages than the one beside it."""
    return cells(table, column, text_of, "an id: a text or a whole number")


@overload
def texts(table: Table, column: str) -> list[str]: ...
@overload
def texts(table: Table, column: str, blank: bool) -> list[str | None]: ...


def texts(table: Table, column: str, blank: bool = False) -> list[Any]:
    """Texts; numbers as they are written. With `blank` a cell may have none."""

    def read(value: Any) -> str | None:
        if blank and (value is None or value != value):
            return None
        text = text_of(value)
        if not blank and not text.strip():
            raise ValueError
        return text

    return cells(table, column, read, "a text")


def grades(table: Table, column: str) -> list[int]:
    """Whole numbers, also as the floats 1.0 or as the digits of a file of texts; 0 and less: not relevant."""
    return cells(table, column, grade_of, "a grade: a whole number")


def text_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError


def grade_of(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    if isinstance(value, float) and 0 < abs(value) % 1 < 1:
        raise ValueError(" (a part of one would be cut off; multiply all grades)")
    if not ((isinstance(value, float) and math.isfinite(value)) or re.fullmatch(r"\s*-?\d+\s*", str(value))):
        raise ValueError
    grade = int(value)
    if abs(grade) >= GRADES:
        raise ValueError(f" below {GRADES:,}")
    return grade
