"""Parses a script with tree-sitter's grammar of bash."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from tree_sitter import Node


def parsed(text: str) -> "Node":
    """
    Raises:
        UserError: it is no bash.
    """
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    root = Parser(Language(tree_sitter_bash.language())).parse(text.encode("utf-8", "replace")).root_node
    if root.has_error:
        raise refused(root)
    return root


def refused(root: "Node") -> UserError:
    """Of the first place that is no bash."""
    place = next((node for node in walked(root) if node.is_missing or node.type == "ERROR"), root)
    line = place.start_point[0]
    shown = (root.text or b"").decode("utf-8", "replace").splitlines()[line : line + 1]
    said = "".join(sign if sign.isprintable() else " " for sign in "".join(shown).strip()[:80])
    return UserError(
        f"Line {line + 1} cannot be parsed as bash ({said!r}), perhaps because of an open quote or bracket; correct "
        "it, or give the training command alone."
    )


def walked(root: "Node") -> Iterator["Node"]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [one for one in reversed(node.children) if one.has_error or one.is_missing]
