"""`[ … ]`, `[[ … ]]`: true, false, or unknown until the script runs."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from collotype.importers.shell.words import ShellWord

if TYPE_CHECKING:
    from tree_sitter import Node

NUMERIC: dict[str, Callable[[int, int], bool]] = {
    "-eq": int.__eq__,
    "-ne": int.__ne__,
    "-lt": int.__lt__,
    "-le": int.__le__,
    "-gt": int.__gt__,
    "-ge": int.__ge__,
}


def truth(node: "Node", read: Callable[["Node"], ShellWord]) -> bool | None:
    """What a test says; none if the text does not tell.

    Args:
        read: a word of the test.
    """
    inner = [one for one in node.named_children if one.type != "comment"]
    if node.type in ("test_command", "parenthesized_expression", "redirected_statement"):
        return truth(inner[0], read) if inner else None
    if node.type == "negated_command" or (node.type == "unary_expression" and node.children[0].type == "!"):
        said = truth(inner[-1], read) if inner else None
        return None if said is None else not said
    operator = node.child_by_field_name("operator")
    if node.type == "unary_expression" and operator is not None and len(inner) == 2:
        return emptiness(operator, read(inner[1]))
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    if node.type == "binary_expression" and operator is not None and left is not None and right is not None:
        return compared((operator.text or b"").decode(), left, right, read)
    return None


def emptiness(operator: "Node", word: ShellWord) -> bool | None:
    sign = operator.text
    if word.unknown and word not in word.unknown and sign in (b"-n", b"-z"):
        return sign == b"-n"
    return None if word.unknown or sign not in (b"-n", b"-z") else bool(word) == (sign == b"-n")


def compared(sign: str, left: "Node", right: "Node", read: Callable[["Node"], ShellWord]) -> bool | None:
    if sign in ("&&", "-a", "||", "-o"):
        both, either = sign in ("&&", "-a"), sign in ("||", "-o")
        said = (truth(left, read), truth(right, read))
        if (both and False in said) or (either and True in said):
            return either
        return None if None in said else both
    one, two = read(left), read(right)
    if one.unknown or two.unknown:
        return None
    if sign in ("=", "==", "!="):
        return fnmatchcase(one, two) == (sign != "!=")
    try:
        return NUMERIC[sign](int(one), int(two)) if sign in NUMERIC else None
    except ValueError:
        return None
