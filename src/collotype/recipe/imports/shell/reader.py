"""Goes through a script's statements as bash would, without running one, and notes the commands it would start."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from collotype.recipe.imports.shell import slurm
from collotype.recipe.imports.shell.conditions import truth
from collotype.recipe.imports.shell.expansion import Expansion, Scope, Value, joined, text_of
from collotype.recipe.imports.shell.words import Word, unknown
from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MOST_STEPS = 20_000
"""Statements and pieces of words that are looked at, loops and calls counted each time."""
MOST_WORDS = 5_000
DEEPEST = 30
"""Functions, blocks and shells within each other."""
MOST_TURNS = 64
"""A longer loop is read once, and what it counts is not known."""
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
SHELLS = ("bash", "sh", "zsh", "dash", "ksh")
IN_A_TEXT = ("ssh", "tmux", "screen", "su", "watch", "flock", "script")
"""Their last word may be a command line."""
NOTHING_STARTED = frozenset(
    "echo printf : true false test cat ls cp mv rm ln mkdir chmod touch which type grep sed".split()
)
BLOCKS = ("program", "compound_statement", "do_group", "list")


@dataclass(frozen=True)
class Command:
    words: list[Word]
    environment: dict[str, Word]
    """What the text has exported before it, or set in front of it."""
    job: dict[str, str] = field(default_factory=dict)
    """Options of the Slurm job that it is part of, by their long names."""
    cut: Word | None = None
    """The flag that begins the next line as a command of its own: this one's last line has no backslash."""

    @property
    def line(self) -> int:
        return self.words[0].line


def commands_of(text: str) -> list[Command]:
    """The commands that a script would start, in order, the same one once.

    Raises:
        UserError: it is no bash, or beyond all measure.
    """
    reader = Reader()
    reader.script(text, {})
    found: list[Command] = []
    for command in reader.found:
        if command not in found:
            found.append(command)
    return found


def parser() -> "Parser":
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


class Reader:
    """What has been read so far."""

    def __init__(self) -> None:
        self.scope, self.found = Scope(), list[Command]()
        self.files: dict[str, str] = {}
        """Files that the script itself writes, by their names as it writes them."""
        self.job: dict[str, str] = {}
        self.before: list[Word] = []
        """The words that start the shell whose text is being read."""
        self.local: dict[str, Value | None] = {}
        self.stopped = ""
        self.line = 0
        """Of the text that is read, where it stands within another."""
        self.steps = self.depth = self.words = 0

    def spend(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise UserError(f"The text has more than {MOST_STEPS} steps or words; give the training command alone.")

    @property
    def expansion(self) -> Expansion:
        return Expansion(self.scope, self.spend, self.line)

    def script(self, text: str, job: dict[str, str]) -> None:
        """Reads a text as a script of its own."""
        text = text.replace("\r\n", "\n")
        job = slurm.directives(text) | job
        if job:
            self.job = self.job | job
            self.scope.variables |= slurm.environment(self.job)
        root = parser().parse(text.encode("utf-8", "replace")).root_node
        if root.has_error:
            raise refused(root)
        self.run(root)

    def run(self, node: "Node", stdin: str | None = None) -> None:
        """Takes a statement."""
        self.spend()
        if self.stopped:
            return
        self.depth += 1
        if self.depth > DEEPEST * 8:
            raise UserError("The text is nested without end; give the training command alone.")
        method = getattr(self, f"take_{node.type}", None)
        if node.type in BLOCKS:
            self.take_block(node)
        elif node.type in ("variable_assignment", "variable_assignments"):
            self.take_assignments(node)
        elif method:
            method(node, stdin)
        self.depth -= 1

    def take_block(self, node: "Node") -> None:
        """Statements in a row; `A || B` may run B or not."""
        before = None
        if node.children and node.children[0].type == "((":
            self.forget(node)
            return
        for part in node.children:
            if part.type in ("&&", "||"):
                before = part.type
            elif part.is_named and before == "||":
                self.branches(partial(self.run, part), lambda: None)
            elif part.is_named and before == "&&" and node.children[0].type in ("test_command", "negated_command"):
                self.choose(self.said(node.children[0]), partial(self.run, part), lambda: None)
            elif part.is_named:
                self.run(part)

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
        self.run_all(one for one in conditions if one.type not in ("test_command", "negated_command"))
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
        if len(values) > MOST_TURNS or any(one.loose for one in values):
            return self.loop(body, text_of(variable))
        for value in values:
            self.scope.variables[text_of(variable)] = value
            self.run(body)

    def take_while_statement(self, node: "Node", stdin: str | None) -> None:
        """Its body is read once, with nothing known that it counts."""
        body = node.child_by_field_name("body")
        if body is not None:
            self.loop(body)

    take_c_style_for_statement = take_while_statement

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

    # what sets something

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
            made = self.expansion.text(value)
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

    # commands

    def measure(self) -> None:
        if self.words > MOST_WORDS:
            raise UserError(f"The text has more than {MOST_WORDS} words; give the training command alone.")

    def words_of(self, node: "Node") -> list[Word]:
        parts = [node.child_by_field_name("name"), *node.children_by_field_name("argument")]
        words = [word for part in parts if part is not None for word in self.expansion.words(part)]
        self.words += len(words)
        self.measure()
        return words

    def take_redirected_statement(self, node: "Node", stdin: str | None) -> None:
        """A here-document is the text of what reads it, or a file's that the script writes."""
        body = node.child_by_field_name("body")
        after: list[Node] = []
        target: Word | None = None
        for redirect in node.children_by_field_name("redirect"):
            for part in [redirect, *redirect.named_children]:
                if part.type == "heredoc_body":
                    stdin = self.here_document(redirect, part)
                elif part.type in ("pipeline", "command", "list"):
                    after.append(part)
                elif part.type == "file_redirect" and text_of(part).startswith(">") and part.named_children:
                    target = self.expansion.text(part.named_children[-1])
        if body is not None:
            self.run(body, stdin)
            name = text_of(body).split()[0]
            if target is not None and stdin is not None and name in ("cat", "tee"):
                self.files[target] = stdin
        for part in after:
            self.run(part, stdin)

    def here_document(self, redirect: "Node", body: "Node") -> str:
        start = next((text_of(one) for one in redirect.named_children if one.type == "heredoc_start"), "")
        return text_of(body) if start[:1] in ("'", '"', "\\") else self.expansion.text(body)

    def take_command(self, node: "Node", stdin: str | None) -> None:
        variables: dict[str, Value] = {}
        for part in node.named_children:
            if part.type == "variable_assignment":
                self.assign(part, variables)
            elif part.type == "herestring_redirect" and part.named_children:
                stdin = self.expansion.text(part.named_children[-1])
        words = self.words_of(node)
        if words:
            self.start(words, {key: joined(value) for key, value in variables.items()}, stdin)

    def start(self, words: list[Word], variables: dict[str, Word], stdin: str | None) -> None:
        """Takes a command's words: a function, a builtin, another shell, or a program."""
        while words and (words[0] in ("exec", "command", "builtin", "env", "time") or ASSIGNMENT.fullmatch(words[0])):
            if assigned := ASSIGNMENT.fullmatch(words[0]):
                variables = variables | {assigned[1]: words[0].of_it(assigned[2])}
            words = words[1:]
        if not words:
            return
        name = PurePosixPath(words[0]).name
        if words[0] in self.scope.functions:
            self.call(self.scope.functions[words[0]], words[1:], variables)
        elif name in ("exit", "return"):
            self.stopped = name
        elif name in BUILTINS:
            BUILTINS[name](self, words[1:])
        elif name in ("sbatch", "salloc"):
            self.submit(words, stdin)
        elif (inner := self.text_within(words, stdin)) is not None:
            place, text, arguments = inner
            self.within(text, words[:place], arguments, variables)
        elif words[0].startswith("-") and self.found and len(words[0]) > 2:
            self.found[-1] = Command(self.found[-1].words, self.found[-1].environment, self.found[-1].job, words[0])
        elif name not in NOTHING_STARTED:
            exported = {
                key: joined(self.scope.variables[key]) for key in self.scope.exported if key in self.scope.variables
            }
            self.found.append(Command([*self.before, *words], exported | variables, dict(self.job)))

    def call(self, body: "Node", arguments: list[Word], variables: dict[str, Word]) -> None:
        """A function's body, with these arguments and variables of its own."""
        self.deeper()
        positional, local = self.scope.positional, self.local
        self.scope.positional, self.local = arguments, {}
        held = {key: self.scope.variables.get(key) for key in variables}
        self.scope.variables |= variables
        self.run(body)
        for key, value in (self.local | held).items():
            if value is None:
                self.scope.variables.pop(key, None)
            else:
                self.scope.variables[key] = value
        self.scope.positional, self.local = positional, local
        self.stopped = "" if self.stopped == "return" else self.stopped
        self.depth -= 8

    def deeper(self) -> None:
        self.depth += 8
        if self.depth > DEEPEST * 8:
            raise UserError("The text calls itself without end; give the training command alone.")

    def text_within(self, words: list[Word], stdin: str | None) -> tuple[int, str, list[Word]] | None:
        """Where in a command another shell starts, what it reads, and with which arguments."""
        name = PurePosixPath(words[0]).name
        if name in IN_A_TEXT and " " in words[-1].strip():
            return 0, words[-1], []
        for place, word in enumerate(words):
            if PurePosixPath(word).name in SHELLS:
                rest = words[place + 1 :]
                while rest and rest[0].startswith(("-", "+")):
                    if not rest[0].startswith("--") and "c" in rest[0]:
                        return (place, rest[1], rest[3:]) if len(rest) > 1 else None
                    rest = rest[1:]
                if rest and rest[0] in self.files:
                    return place, self.files[rest[0]], rest[1:]
                return (place, stdin, rest[1:]) if stdin is not None and not rest else None
        return (0, self.files[words[0]], words[1:]) if words[0] in self.files else None

    def submit(self, words: list[Word], stdin: str | None) -> None:
        """`sbatch`, with a text, a script that this one writes, or a command."""
        options = slurm.options([one for one in words if not one.unknown])
        place = next((place for place, one in enumerate(words) if one in self.files), None)
        wrapped = options.get("--wrap")
        if wrapped is None and "--wrap" in words[:-1]:
            wrapped = words[words.index(Word("--wrap")) + 1]
        text = wrapped if wrapped is not None else self.files[words[place]] if place is not None else stdin
        if text is not None:
            self.within(text, [], words[place + 1 :] if place is not None else [], {}, options)
        elif words[0] == "salloc":
            at = next((place for place, one in enumerate(words[1:], 1) if not one.startswith("-")), len(words))
            self.job |= options
            self.start(words[at:], {}, None)
        else:
            self.found.append(Command([*self.before, *words], {}, dict(self.job)))

    def within(
        self,
        text: str,
        before: list[Word],
        arguments: list[Word],
        variables: dict[str, Word],
        job: dict[str, str] | None = None,
    ) -> None:
        """Reads what another shell is given, started by the words before it."""
        self.deeper()
        held = self.scope, self.before, self.job, self.line
        self.line = self.line or getattr(text, "line", 0)
        self.scope = self.scope.copy()
        self.scope.variables |= variables
        self.scope.exported |= set(variables)
        self.scope.positional = arguments
        self.before = [*self.before, *before]
        self.script(text, job or {})
        self.scope, self.before, self.job, self.line = held
        self.stopped = ""
        self.depth -= 8

    # builtins that set something

    def take_set(self, words: list[Word]) -> None:
        if "--" in words:
            self.scope.positional = words[words.index(Word("--")) + 1 :]
        elif words and not words[0].startswith(("-", "+")):
            self.scope.positional = words

    def take_shift(self, words: list[Word]) -> None:
        by = int(words[0]) if words and words[0].isdigit() else 1
        for _ in range(min(by, len(self.scope.positional))):
            if not self.scope.positional[0].loose:
                self.scope.positional = self.scope.positional[1:]

    def take_read(self, words: list[Word]) -> None:
        for name in words:
            if re.fullmatch(r"[A-Za-z_]\w*", name):
                self.scope.variables[name] = unknown(f"${name}")

    def take_printf(self, words: list[Word]) -> None:
        if len(words) > 1 and words[0] == "-v":
            self.take_read(words[1:2])

    def take_eval(self, words: list[Word]) -> None:
        held, self.line = self.line, self.line or (words[0].line if words else 0)
        self.deeper()
        self.script(" ".join(words), {})
        self.depth -= 8
        self.line = held


BUILTINS = {
    "set": Reader.take_set,
    "shift": Reader.take_shift,
    "eval": Reader.take_eval,
    "printf": Reader.take_printf,
    **dict.fromkeys(("read", "mapfile", "readarray", "getopts", "let"), Reader.take_read),
}


def refused(root: "Node") -> UserError:
    """Of the first place that is no bash."""
    place = next((node for node in walked(root) if node.is_missing or node.type == "ERROR"), root)
    line = place.start_point[0]
    shown = (root.text or b"").decode("utf-8", "replace").splitlines()[line : line + 1]
    said = "".join(sign if sign.isprintable() else " " for sign in "".join(shown).strip()[:80])
    return UserError(
        f"Line {line + 1} is not understood as bash ({said!r}): a quote or bracket may be open; correct it, or give "
        "the training command alone."
    )


def walked(root: "Node") -> Iterator["Node"]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [one for one in reversed(node.children) if one.has_error or one.is_missing]


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


def added(held: Value | None, more: Value, name: str) -> Value:
    """`+=`: to an array elements, to a text text; what was not set counts as empty."""
    if isinstance(more, list):
        return [*(held if isinstance(held, list) else [held] if held else []), *more]
    if isinstance(held, list):
        return [*held, more]
    held = held or Word("")
    return Word(held + more, more.line, (*held.unknown, *more.unknown), False)
