"""Walks through a script's statements as bash would, without running any, and collects the commands."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from collotype.importers.shell import slurm, sourced
from collotype.importers.shell.expansion import text_of
from collotype.importers.shell.grammar import parsed
from collotype.importers.shell.pieces import Value, joined
from collotype.importers.shell.statements import DEEPEST, Statements
from collotype.importers.shell.words import LONGEST_WORD, ShellWord, unknown
from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from tree_sitter import Node

ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
DECIMAL = re.compile(r"(?<=[\s(*/+-])10#(?=[$\w])")
"""`10#08` is 8 and no octal; the grammar does not know the form, and a number that begins with 0 stays unknown."""
SUM = re.compile(r"([A-Za-z_]\w*)\s*=\s*([\w\s+*/%()-]{1,80})")
"""What `let` takes: `N=4*2`."""
SHELLS = ("bash", "sh", "zsh", "dash", "ksh")
IN_A_TEXT = ("ssh", "tmux", "screen", "su", "watch", "flock", "script", "gcloud")
"""Their last word may be a command line."""
NOTHING_STARTED = frozenset(
    "echo printf : true false test cat ls cp mv rm ln mkdir chmod touch which type grep sed".split()
)


@dataclass(frozen=True)
class ShellCommand:
    words: list[ShellWord]
    environment: dict[str, ShellWord]
    """What the text has exported before it, or set in front of it."""
    job: dict[str, str] = field(default_factory=dict)
    """Options of the Slurm job that it is part of, by their long names."""
    notes: tuple[str, ...] = ()
    """What was taken for granted on the way to it."""
    cut: ShellWord | None = None
    """The flag that begins the next line as a command of its own: this one's last line has no backslash."""

    @property
    def line(self) -> int:
        return self.words[0].line

    @property
    def key(self) -> tuple[object, ...]:
        """What two commands share that are one: the processes of a training are told apart by their rank alone."""
        assigned = {
            name: value for name, value in self.environment.items() if not name.endswith(("RANK", "VISIBLE_DEVICES"))
        }
        return (*self.words, *sorted(assigned.items()), *sorted(self.job.items()))


def commands_of(text: str, folder: Path | None = None) -> list[ShellCommand]:
    """The commands that a script would start, in order, the same one once.

    Args:
        folder: where the script lies, and with it the files that it reads as a part of itself.

    Raises:
        UserError: it is no bash, or beyond all measure.
    """
    reader = ScriptReader(folder)
    reader.script(text, {})
    return list({command.key: command for command in reversed(reader.found)}.values())[::-1]


class ScriptReader(Statements):
    """Notes the commands that a script would start."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self.folder = folder
        self.found: list[ShellCommand] = []
        self.files: dict[str, str] = {}
        """Files that the script itself writes, by their names as it writes them."""
        self.job: dict[str, str] = {}
        self.before: list[ShellWord] = []
        """The words that start the shell whose text is being read."""

    def script(self, text: str, job: dict[str, str]) -> None:
        """Reads a text as a script of its own."""
        text = DECIMAL.sub("", text.replace("\r\n", "\n"))
        job = slurm.directives(text) | job
        if job:
            self.job = self.job | job
            self.scope.variables |= slurm.environment(self.job)
        self.run(parsed(text))

    def take_redirected_statement(self, node: "Node", stdin: str | None) -> None:
        """A here-document is the text of what reads it, or a file's that the script writes."""
        body = node.child_by_field_name("body")
        after: list[Node] = []
        target: ShellWord | None = None
        for redirect in node.children_by_field_name("redirect"):
            for part in [redirect, *redirect.named_children]:
                if part.type == "heredoc_body":
                    stdin = self.expansion.here_document(redirect) + "\n"
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

    def start(self, words: list[ShellWord], variables: dict[str, ShellWord], stdin: str | None) -> None:
        """Takes a command's words: a function, a builtin, another shell, or a program."""
        while words and (words[0] in ("exec", "command", "builtin", "env", "time") or ASSIGNMENT.fullmatch(words[0])):
            if assigned := ASSIGNMENT.fullmatch(words[0]):
                variables = variables | {assigned[1]: words[0].of_it(assigned[2])}
            words = words[1:]
        if not words:
            return
        name = PurePosixPath(words[0]).name or words[0]
        if words[0] in self.scope.functions:
            self.call(self.scope.functions[words[0]], words[1:], variables)
        elif name in ("exit", "return"):
            self.stopped = name
        elif name == "read" and stdin is not None and "-d" in words:
            # `read -r -d '' ARGS <<EOF` takes the whole text
            self.scope.variables[words[-1]] = ShellWord(stdin.strip("\n"), words[0].line)
        elif name in BUILTINS:
            BUILTINS[name](self, words[1:])
        elif name in ("sbatch", "salloc"):
            self.submit(words, stdin)
        elif (inner := self.text_within(words, stdin)) is not None:
            place, text, arguments = inner
            self.within(text, words[:place], arguments, variables)
        elif words[0].startswith("-") and self.found and len(words[0]) > 2:
            self.found[-1] = replace(self.found[-1], cut=words[0])
        elif name not in NOTHING_STARTED:
            exported = {
                key: joined(self.scope.variables[key]) for key in self.scope.exported if key in self.scope.variables
            }
            self.found.append(
                ShellCommand([*self.before, *words], exported | variables, dict(self.job), tuple(self.notes))
            )

    def call(self, body: "Node", arguments: list[ShellWord], variables: dict[str, ShellWord]) -> None:
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
            raise UserError("A function or script in the text calls itself endlessly; give the training command alone.")

    def text_within(self, words: list[ShellWord], stdin: str | None) -> tuple[int, str, list[ShellWord]] | None:
        """Where in a command another shell starts, what it reads, and with which arguments."""
        name = PurePosixPath(words[0]).name or words[0]
        if name in IN_A_TEXT and " " in words[-1].strip():
            return 0, words[-1].removeprefix("--command="), []
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

    def submit(self, words: list[ShellWord], stdin: str | None) -> None:
        """`sbatch`, with a text, a script that this one writes, or a command."""
        options = slurm.options([one for one in words if not one.unknown])
        place = next((place for place, one in enumerate(words) if one in self.files), None)
        wrapped = options.get("--wrap")
        if wrapped is None and "--wrap" in words[:-1]:
            wrapped = words[words.index(ShellWord("--wrap")) + 1]
        text = wrapped if wrapped is not None else self.files[words[place]] if place is not None else stdin
        if text is not None:
            self.within(text, [], words[place + 1 :] if place is not None else [], {}, options)
        elif words[0] == "salloc":
            at = next((place for place, one in enumerate(words[1:], 1) if not one.startswith("-")), len(words))
            self.job |= options
            self.start(words[at:], {}, None)
        else:
            self.found.append(ShellCommand([*self.before, *words], {}, dict(self.job)))

    def within(
        self,
        text: str,
        before: list[ShellWord],
        arguments: list[ShellWord],
        variables: dict[str, ShellWord],
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

    def take_set(self, words: list[ShellWord]) -> None:
        if "--" in words:
            self.scope.positional = words[words.index(ShellWord("--")) + 1 :]
        elif words and not words[0].startswith(("-", "+")):
            self.scope.positional = words

    def take_shift(self, words: list[ShellWord]) -> None:
        by = int(words[0]) if words and words[0].isdigit() else 1
        for _ in range(min(by, len(self.scope.positional))):
            if not self.scope.positional[0].loose:
                self.scope.positional = self.scope.positional[1:]

    def take_read(self, words: list[ShellWord]) -> None:
        for name in words:
            if re.fullmatch(r"[A-Za-z_]\w*", name):
                self.scope.variables[name] = unknown(f"${name}")

    def take_printf(self, words: list[ShellWord]) -> None:
        if len(words) > 1 and words[0] == "-v":
            self.take_read(words[1:2])

    def take_let(self, words: list[ShellWord]) -> None:
        for word in words:
            found = SUM.fullmatch(word)
            if found and not word.unknown:
                self.script(f"{found[1]}=$(({found[2]}))", {})
            else:
                self.take_read([ShellWord(name) for name in re.findall(r"[A-Za-z_]\w*", word)])

    def take_source(self, words: list[ShellWord]) -> None:
        """Another file's statements, as a part of this one; what it sets is not known if it is not there."""
        if not words or sourced.prepares(words[0]):
            return
        text = sourced.text_beside(words[0], self.folder)
        if text is None:
            self.notes.append(
                f"sourced: {words[0]} (line {words[0].line}) is not next to the script, so the variables it sets are "
                "unknown"
            )
        else:
            self.take_eval([ShellWord(text, words[0].line)] if len(text) < LONGEST_WORD else [])

    def take_eval(self, words: list[ShellWord]) -> None:
        held, self.line = self.line, self.line or (words[0].line if words else 0)
        self.deeper()
        self.script(" ".join(words), {})
        self.depth -= 8
        self.line = held


BUILTINS = {
    "set": ScriptReader.take_set,
    "shift": ScriptReader.take_shift,
    "eval": ScriptReader.take_eval,
    "printf": ScriptReader.take_printf,
    **dict.fromkeys(("read", "mapfile", "readarray", "getopts"), ScriptReader.take_read),
    **dict.fromkeys(("source", "."), ScriptReader.take_source),
    "let": ScriptReader.take_let,
}
