"""Which of a script's statements run: blocks, conditions, loops."""

import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from collotype.importers.shell.assignments import Assignments
from collotype.importers.shell.conditions import truth
from collotype.importers.shell.expansion import Scope, text_of
from collotype.importers.shell.words import ShellWord, unknown
from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from tree_sitter import Node

DEEPEST = 30
"""Functions, blocks and shells within each other."""
MOST_TURNS = 64
"""A longer loop is read once, and what it counts is not known."""
OVER_ARGUMENTS = re.compile(r"\$#|\$\{#\}|\$\{?1\b|\bgetopts?\b")
"""The condition of a loop that goes through a script's arguments."""
BLOCKS = ("program", "compound_statement", "do_group", "list")


class Statements(Assignments):
    """Goes through statements; what a command starts is `reader`'s."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = ""
        self.notes: list[str] = []
        self.depth = 0

    def run(self, node: "Node", stdin: str | None = None) -> None:
        """Takes a statement."""
        self.spend()
        if self.stopped:
            return
        self.depth += 1
        if self.depth > DEEPEST * 8:
            raise UserError("The text is nested too deeply; give the training command alone.")
        method = getattr(self, f"take_{node.type}", None)
        if node.type in BLOCKS:
            self.take_block(node)
        elif node.type in ("variable_assignment", "variable_assignments"):
            self.take_assignments(node)
        elif method:
            method(node, stdin)
        self.depth -= 1

    def take_block(self, node: "Node") -> None:
        """Statements in a row, or two of which one decides about the other."""
        if node.children and node.children[0].type == "((":
            return self.forget(node)
        if node.type == "list" and len(node.named_children) == 2:
            first, second = node.named_children
            return self.take_either(first, second, node.children[1].type)
        for part in node.named_children:
            self.run(part)

    def take_either(self, first: "Node", second: "Node", joint: str) -> None:
        """`A && B`, `A || B`: a program is taken to succeed, and what follows it if it does not may run."""
        self.run(first)
        said, asked = self.status(first), first.type in ("test_command", "negated_command", "list")
        if joint == "&&" and said is None and not asked:
            said = True
        second_runs = said if said is None or joint == "&&" else not said
        if joint in ("&&", "||"):
            self.choose(second_runs, partial(self.run, second), lambda: None)
        else:
            self.run(second)

    def status(self, node: "Node") -> bool | None:
        """Did it succeed?"""
        if node.type == "list" and len(node.named_children) == 2:
            one, two = (self.status(part) for part in node.named_children)
            if node.children[1].type == "||":
                return True if one else two if one is False else None
            return False if one is False else two if one else None
        if node.type in ("variable_assignment", "variable_assignments", "declaration_command"):
            return True
        return self.said(node)

    def said(self, node: "Node") -> bool | None:
        return truth(node, self.expansion.text)

    def take_pipeline(self, node: "Node", stdin: str | None) -> None:
        """Each command of a pipeline is a shell of its own; what `echo` or `cat` writes may be the next one's text."""
        held = self.scope.copy()
        for part in node.named_children:
            self.run(part, stdin)
            stdin = self.output(part, stdin)
        self.scope = held

    def output(self, node: "Node", stdin: str | None) -> str | None:
        """What a command is known to write."""
        words = self.words_of(node) if node.type == "command" else []
        if words and words[0] == "echo" and not any(one.unknown for one in words):
            return " ".join(words[1:]) + "\n"
        return stdin if words and words[0] == "cat" and len(words) == 1 else None

    def take_subshell(self, node: "Node", stdin: str | None) -> None:
        held = self.scope.copy()
        self.take_block(node)
        self.scope = held
        self.stopped = ""

    def take_negated_command(self, node: "Node", stdin: str | None) -> None:
        for part in node.named_children:
            self.run(part, stdin)

    def take_function_definition(self, node: "Node", stdin: str | None) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None:
            self.scope.functions[text_of(name)] = body

    # what may run or not

    def branches(self, *bodies: Callable[[], None]) -> None:
        """Each of these may be what runs: what they leave different is not known afterwards."""
        start, ends = self.scope, list[Scope]()
        for body in bodies:
            self.scope, self.stopped = start.copy(), ""
            body()
            if not self.stopped:
                ends.append(self.scope)
        self.stopped = "" if ends else "exit"
        self.scope = merged(ends) if ends else start

    def choose(self, said: bool | None, yes: Callable[[], None], no: Callable[[], None]) -> None:
        """Runs one of two, or both where the text does not tell which."""
        if said is None:
            self.branches(yes, no)
        elif said:
            yes()
        else:
            no()

    def run_all(self, nodes: "Iterable[Node]") -> None:
        for node in nodes:
            self.run(node)

    def take_if_statement(self, node: "Node", stdin: str | None) -> None:
        self.take_clauses(clauses_of(node))

    def take_clauses(self, clauses: "list[tuple[list[Node], list[Node]]]") -> None:
        """`if`, `elif`, `else`; a variable that nobody sets counts as empty, unless the script would end over it."""
        if not clauses:
            return
        conditions, body = clauses[0]
        self.run_all(one for one in conditions if one.type != "test_command")
        said = True if not conditions else self.said(conditions[0]) if len(conditions) == 1 else None
        if said is None and len(conditions) == 1 and self.asks_for_unset(conditions[0]):
            held = self.scope.copy()
            self.run_all(body)
            if self.stopped:
                self.scope, self.stopped = held, ""
                self.take_clauses(clauses[1:])
        else:
            self.choose(said, lambda: self.run_all(body), lambda: self.take_clauses(clauses[1:]))

    def asks_for_unset(self, node: "Node") -> bool:
        """`[ -z "$X" ]` of an X that the text never sets."""
        found = re.fullmatch(r"\[\[?\s*-z\s+\"?\$\{?([A-Za-z_]\w*)(?:[:-]*)\}?\"?\s*\]\]?", text_of(node))
        return found is not None and found[1] not in self.scope.variables

    def take_case_statement(self, node: "Node", stdin: str | None) -> None:
        word = self.expansion.text(node.child_by_field_name("value"))
        items = [one for one in node.named_children if one.type == "case_item"]
        if word.unknown:
            bodies = [partial(self.run_all, statements(one)) for one in items]
            return self.branches(*bodies, lambda: None)
        for item in items:
            patterns = item.children_by_field_name("value")
            if any(fnmatchcase(word, self.expansion.text(pattern)) for pattern in patterns):
                return self.run_all(statements(item))

    def take_for_statement(self, node: "Node", stdin: str | None) -> None:
        variable, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
        if variable is None or body is None:
            return
        written = node.children_by_field_name("value")
        values = [word for one in written for word in self.expansion.words(one)] if written else self.scope.positional
        if values == [ShellWord("$@")] and self.unknown_arguments:
            return self.none_given(node)
        if len(values) > MOST_TURNS or any(one.loose for one in values):
            return self.loop(body, text_of(variable))
        for value in values:
            self.scope.variables[text_of(variable)] = value
            self.run(body)

    def take_while_statement(self, node: "Node", stdin: str | None) -> None:
        """Its body is read once, with nothing known that it counts; one that goes through the script's own arguments
        has none to go through."""
        body, condition = node.child_by_field_name("body"), node.child_by_field_name("condition")
        if condition is not None and OVER_ARGUMENTS.search(text_of(condition)) and self.unknown_arguments:
            self.none_given(node)
        elif body is not None:
            self.loop(body)

    take_c_style_for_statement = take_while_statement

    @property
    def unknown_arguments(self) -> bool:
        return any(one.loose for one in self.scope.positional)

    def none_given(self, node: "Node") -> None:
        place = self.line or node.start_point[0] + 1
        self.notes.append(
            f"arguments: the script reads arguments (line {place}), and none are given; its defaults are used"
        )

    def loop(self, body: "Node", *names: str) -> None:
        self.forget(body.parent or body, *names)
        self.branches(partial(self.run, body), lambda: None)
        self.forget(body.parent or body, *names)

    def forget(self, node: "Node", *names: str) -> None:
        """What a statement sets is not known."""
        text = text_of(node)
        for name in (
            *names,
            *re.findall(r"(?<![\w$-])([A-Za-z_]\w*)(?:\+\+|--|[-+*/]?=(?!=))|\bread\s+(?:-\w+\s+)*(\w+)", text),
        ):
            name = name if isinstance(name, str) else name[0] or name[1]
            self.scope.variables[name] = unknown(f"${name}")


def clauses_of(node: "Node") -> "list[tuple[list[Node], list[Node]]]":
    """Conditions and statements of each clause; the last `else` has no condition."""
    conditions: list[Node] = []
    body: list[Node] = []
    later: list[tuple[list[Node], list[Node]]] = []
    after_then = node.type == "else_clause"
    for part in node.children:
        if part.type == "then":
            after_then = True
        elif part.type in ("elif_clause", "else_clause"):
            later += clauses_of(part)
        elif part.is_named and part.type != "comment":
            (body if after_then else conditions).append(part)
    return [(conditions, body), *later]


def statements(item: "Node") -> list["Node"]:
    """What a case's item runs."""
    values = {one.id for one in item.children_by_field_name("value")}
    return [one for one in item.named_children if one.id not in values]


def merged(scopes: list[Scope]) -> Scope:
    """What is the same at the end of all of them; the rest is not known."""
    whole = scopes[0].copy()
    for other in scopes[1:]:
        for key in {*whole.variables, *other.variables}:
            if whole.variables.get(key) != other.variables.get(key):
                whole.variables[key] = unknown(f"${key}")
        whole.exported |= other.exported
        whole.functions |= other.functions
        if whole.positional != other.positional:
            whole.positional = [unknown("$@")]
    return whole
