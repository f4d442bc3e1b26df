"""`$((…))`: whole numbers, as bash computes them."""

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

LARGEST = 2**63
OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda one, two: abs(one) // abs(two) * (1 if (one < 0) == (two < 0) else -1),
    "%": lambda one, two: abs(one) % abs(two) * (1 if one >= 0 else -1),
    "**": lambda one, two: one**two if 0 <= two < 64 and abs(one) < 2**32 else LARGEST,
    "<<": lambda one, two: one << two if 0 <= two < 63 else LARGEST,
    ">>": lambda one, two: one >> two if 0 <= two < 63 else LARGEST,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "&&": lambda one, two: bool(one) and bool(two),
    "||": lambda one, two: bool(one) or bool(two),
}
UNARY: dict[str, Callable[[int], int]] = {
    "-": operator.neg,
    "+": operator.pos,
    "!": operator.not_,
    "~": operator.invert,
}


def value_of(node: "Node", read: Callable[["Node"], str | None]) -> int | None:
    """The expression's value; none if something in it is not known, or is more than whole numbers hold.

    Args:
        read: the text of a number, name or expansion; none if it is not known.
    """
    inner = [one for one in node.named_children if one.type != "comment"]
    if node.type in ("parenthesized_expression", "arithmetic_expansion"):
        return value_of(inner[0], read) if len(inner) == 1 else None
    if node.type == "ternary_expression" and len(inner) == 3:
        asked = value_of(inner[0], read)
        return None if asked is None else value_of(inner[1 if asked else 2], read)
    sign = next((one.type for one in node.children if not one.is_named), "")
    if node.type in ("binary_expression", "unary_expression"):
        values = [value_of(one, read) for one in inner]
        if None in values:
            return None
        return within(computed(sign, [one for one in values if one is not None]))
    text = read(node)
    try:
        return within(int(text, 0)) if text is not None else None
    except ValueError:
        return None


def computed(sign: str, values: list[int]) -> int | None:
    try:
        if len(values) == 2 and sign in OPERATORS:
            return int(OPERATORS[sign](*values))
        return int(UNARY[sign](*values)) if len(values) == 1 and sign in UNARY else None
    except (ZeroDivisionError, OverflowError, ValueError):
        return None


def within(value: int | None) -> int | None:
    return value if value is not None and abs(value) < LARGEST else None
