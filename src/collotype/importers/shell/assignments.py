"""The variables that a script's statements set."""

from typing import TYPE_CHECKING

from collotype.importers.shell.expansion import Expansion, Scope, text_of
from collotype.importers.shell.pieces import Value
from collotype.importers.shell.words import ShellWord, unknown
from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from tree_sitter import Node

MOST_STEPS = 20_000
"""Statements and pieces of words that are looked at, loops and calls counted each time."""
MOST_WORDS = 5_000


class Assignments:
    """Takes assignments in all their forms, and makes words with what they have set."""

    def __init__(self) -> None:
        self.scope = Scope()
        self.local: dict[str, Value | None] = {}
        self.line = 0
        """Of the text that is read, where it stands within another."""
        self.steps = self.words = 0

    def spend(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise UserError(f"The text has more than {MOST_STEPS} steps or words; give the training command alone.")

    @property
    def expansion(self) -> Expansion:
        return Expansion(self.scope, self.spend, self.line)

    def take_assignments(self, node: "Node") -> None:
        for one in [node] if node.type == "variable_assignment" else node.named_children:
            self.assign(one, self.scope.variables)

    def assign(self, node: "Node", variables: dict[str, Value]) -> str:
        """Takes one assignment; the name that it sets."""
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is None:
            return ""
        appended = any(one.type == "+=" for one in node.children)
        key = text_of(name.child_by_field_name("name") or name)
        if value is not None and value.type == "array":
            made: Value = [
                word for one in value.named_children if one.type != "comment" for word in self.expansion.words(one)
            ]
        else:
            made = without_itself(self.expansion.text(value), key)
        self.words += len(made) if isinstance(made, list) else 1
        self.measure()
        if name.type == "subscript":
            variables[key] = unknown(f"${key}")
        elif appended:
            variables[key] = added(self.scope.variables.get(key), made, key)
        else:
            variables[key] = made
        return key

    def take_declaration_command(self, node: "Node", stdin: str | None) -> None:
        """`export`, `local`, `declare`, `readonly`."""
        word = text_of(node.children[0])
        for part in node.named_children:
            if part.type in ("variable_assignment", "variable_name"):
                name = text_of(part)
                if part.type == "variable_assignment":
                    before = self.scope.variables.get(text_of(part.child_by_field_name("name") or part))
                    name = self.assign(part, self.scope.variables)
                    if word == "local":
                        self.local.setdefault(name, before)
                if word == "export" or "-x" in text_of(node).split():
                    self.scope.exported.add(name)

    def take_unset_command(self, node: "Node", stdin: str | None) -> None:
        for part in node.named_children:
            self.scope.variables.pop(text_of(part), None)

    def measure(self) -> None:
        if self.words > MOST_WORDS:
            raise UserError(f"The text has more than {MOST_WORDS} words; give the training command alone.")

    def words_of(self, node: "Node") -> list[ShellWord]:
        parts = [node.child_by_field_name("name"), *node.children_by_field_name("argument")]
        words = [word for part in parts if part is not None for word in self.expansion.words(part)]
        self.words += len(words)
        self.measure()
        return words


def without_itself(value: ShellWord, name: str) -> ShellWord:
    """`X="$X --lr 1"` of an X that nothing has set: it counts as empty, as with `+=`."""
    own = [one for one in (f"${name}", f"${{{name}}}") if one in value.unknown and one != value]
    for one in own:
        value = ShellWord(value.replace(one, ""), value.line, [other for other in value.unknown if other != one])
    return value


def added(held: Value | None, more: Value, name: str) -> Value:
    """`+=`: to an array elements, to a text text; what was not set counts as empty."""
    if isinstance(more, list):
        return [*(held if isinstance(held, list) else [held] if held else []), *more]
    if isinstance(held, list):
        return [*held, more]
    held = held or ShellWord("")
    return ShellWord(held + more, more.line, (*held.unknown, *more.unknown), False)
