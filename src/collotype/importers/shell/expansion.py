"""Expands words: quotes, variables, arrays, defaults, `$((…))`, braces."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from collotype.importers.shell import arithmetic
from collotype.importers.shell.pieces import Value, counted, cut, dequoted, joined, length, opened, unescaped
from collotype.importers.shell.words import OPAQUE, Fields, ShellWord, braced, unknown

if TYPE_CHECKING:
    from tree_sitter import Node

ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
KEYED = re.compile(r"\[(.+?)\]=(.*)", re.DOTALL)
"""An entry of an array with its key."""
COUNTS_NODES = re.compile(
    r"^\$\(\s*scontrol\s+show\s+host(names?|list)[^|]*\|\s*wc\s+-l\s*\)$|^`.*scontrol.*wc -l\s*`$"
)


class Scope:
    """What the text has set so far."""

    def __init__(self) -> None:
        self.variables: dict[str, Value] = {}
        self.exported: set[str] = set()
        self.functions: dict[str, Node] = {}
        self.positional: list[ShellWord] = [unknown("$@")]
        """A script's own arguments are not known."""

    def copy(self) -> "Scope":
        other = Scope()
        other.variables, other.exported = dict(self.variables), set(self.exported)
        other.functions, other.positional = dict(self.functions), list(self.positional)
        return other

    def argument(self, number: int) -> ShellWord | None:
        """`$1`; none where the function has no such argument."""
        before = self.positional[:number]
        if any(one.loose for one in before):
            return unknown(f"${number}")
        return self.positional[number - 1] if number <= len(self.positional) else None


def text_of(node: "Node") -> str:
    return (node.text or b"").decode("utf-8", "replace")


def written(node: "Node") -> str:
    """An expansion as it is written, without spaces, so that it stays one word; of a command the first word."""
    text = text_of(node)
    if node.type == "command_substitution":
        first = re.match(r"\s*(\$\(|`)\s*(\S*)\s*(.)?", text, re.DOTALL)
        if first and first[3]:
            return f"{first[1]}{first[2]}…{')' if first[1] == '$(' else '`'}"
    return re.sub(r"\s+", "", text)


class Expansion:
    """Makes words of nodes, with what a scope holds."""

    def __init__(self, scope: Scope, spend: Callable[[], None], line: int = 0):
        self.scope, self.spend, self.line = scope, spend, line

    def line_of(self, node: "Node") -> int:
        """Where a node stands; of a text within a text, where that does."""
        return self.line or node.start_point[0] + 1

    def words(self, node: "Node") -> list[ShellWord]:
        """The words that bash makes of this one."""
        pieces = [*self.pieces(node, quoted=False)]
        text = "".join(
            joined(one) if kind == "literal" else chr(OPAQUE + place) for place, (kind, one) in enumerate(pieces)
        )
        made: list[ShellWord] = []
        for form in braced(text) if "{" in text else [None]:
            fields = Fields(self.line_of(node))
            for kind, piece in pieces if form is None else opened(form, pieces):
                self.put(fields, kind, piece)
            fields.end()
            made += fields.words
        return made

    def put(self, fields: Fields, kind: str, piece: Value) -> None:
        self.spend()
        if isinstance(piece, list):
            for number, one in enumerate(piece):
                if number:
                    fields.end()
                fields.add(one, split=kind == "split")
        else:
            fields.add(piece, split=kind == "split")

    def text(self, node: "Node | None") -> ShellWord:
        """The one word of an assignment's or a test's value, which is not split."""
        if node is None:
            return ShellWord("")
        fields = Fields(self.line_of(node))
        for _, piece in self.pieces(node, quoted=True):
            fields.add(joined(piece))
        fields.end()
        return fields.words[0] if fields.words else ShellWord("", self.line_of(node))

    def pieces(self, node: "Node", quoted: bool) -> Iterator[tuple[str, Value]]:
        """Parts of a word: `literal` text, `kept` together as in quotes, or `split` at spaces."""
        self.spend()
        kind = node.type
        if kind in ("concatenation", "command_name"):
            for part in node.children:
                yield from self.pieces(part, quoted)
        elif kind == "translated_string":
            yield from self.pieces(node.children[-1], quoted=True)
        elif kind in ("string", "heredoc_body"):
            yield "kept", ShellWord("")
            yield from self.inside(node)
        elif kind == "raw_string":
            yield "kept", ShellWord(text_of(node)[1:-1])
        elif kind == "ansi_c_string":
            yield (
                "kept",
                ShellWord(re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[0]), text_of(node)[2:-1])),
            )
        elif kind in ("simple_expansion", "expansion", "command_substitution", "arithmetic_expansion"):
            yield "kept" if quoted else "split", self.expanded(node, quoted)
        elif kind == "process_substitution":
            yield "kept", unknown(written(node))
        else:
            yield from unescaped(text_of(node))

    def inside(self, node: "Node") -> Iterator[tuple[str, Value]]:
        """What stands between double quotes; the grammar has no nodes for some of the text."""
        body = node.type == "heredoc_body"
        start, end = node.start_byte + (not body), node.end_byte - (not body)
        source, at = node.text or b"", start
        for part in [one for one in node.children if one.type.endswith(("expansion", "substitution"))]:
            # the grammar counts a space before an expansion as the expansion's
            start = part.start_byte + len(part.text or b"") - len((part.text or b"").lstrip())
            yield "kept", dequoted(source[at - node.start_byte : start - node.start_byte], body)
            yield from self.pieces(part, quoted=True)
            at = part.end_byte
        yield "kept", dequoted(source[at - node.start_byte : end - node.start_byte], body)

    def expanded(self, node: "Node", quoted: bool) -> Value:
        as_written = unknown(written(node), self.line_of(node))
        if node.type == "arithmetic_expansion":
            number = arithmetic.value_of(node, self.number)
            return as_written if number is None else ShellWord(str(number))
        if node.type == "command_substitution":
            nodes = self.scope.variables.get("SLURM_NNODES") if COUNTS_NODES.match(text_of(node)) else None
            return nodes or counted(text_of(node)) or self.printed(node) or as_written
        found = self.parameter(node, quoted)
        return as_written if found is None else found

    def printed(self, node: "Node") -> ShellWord | None:
        """What `$(cat <<EOF …)` and `$(echo …)` write, where nothing else is in it."""
        inner = [one for one in node.named_children if one.type != "comment"]
        command = inner[0] if len(inner) == 1 else None
        if command is not None and command.type == "redirected_statement":
            redirects = command.children_by_field_name("redirect")
            whole = [one.type for one in redirects] == ["heredoc_redirect"] and "|" not in text_of(redirects[0])[:80]
            body = command.child_by_field_name("body")
            return self.here_document(redirects[0]) if whole and body is not None and text_of(body) == "cat" else None
        if command is None or command.type != "command" or text_of(command).split(maxsplit=1)[0] != "echo":
            return None
        words = [word for one in command.children_by_field_name("argument") for word in self.words(one)]
        return None if any(one.startswith("-") or one.unknown for one in words) else ShellWord(" ".join(words))

    def here_document(self, redirect: "Node") -> ShellWord:
        """Its text, as the reader of it has it; without its last line's end."""
        parts = {one.type: one for one in redirect.named_children}
        body, quoted = parts.get("heredoc_body"), text_of(parts["heredoc_start"])[:1] in ("'", '"', "\\")
        if body is None:
            return ShellWord("")
        text = ShellWord(text_of(body)) if quoted else self.text(body)
        return text.of_it(text.rstrip("\n"))

    def number(self, node: "Node") -> str | None:
        """A number or the value of a name in arithmetic; none if it is not known."""
        if node.type in ("simple_expansion", "expansion", "string"):
            word = self.text(node)
        elif re.fullmatch(r"[A-Za-z_]\w*", text_of(node)):
            word = joined(self.scope.variables.get(text_of(node), unknown(text_of(node))))
        else:
            word = ShellWord(text_of(node))
        return None if word.unknown else word

    def parameter(self, node: "Node", quoted: bool) -> Value | None:
        """`$X`, `${X…}`, `${A[@]}`; none if the text does not tell."""
        names = [
            one for one in node.named_children if one.type in ("variable_name", "special_variable_name", "subscript")
        ]
        inner = text_of(node).lstrip()[2:-1] if node.type == "expansion" else ""
        if not names or inner.startswith("!"):
            return None
        value = self.value(names[0], quoted)
        if inner.startswith("#") and len(inner) > 1:
            return length(value, names[0].type == "subscript")
        after = (node.text or b"")[names[0].end_byte - node.start_byte : -1].decode("utf-8", "replace")
        tail = "" if node.type == "simple_expansion" else after
        return self.operated(value, tail, node, names[0]) if tail else value

    def value(self, name: "Node", quoted: bool) -> Value | None:
        if name.type == "subscript":
            return self.element(name)
        text = text_of(name)
        if text in ("@", "*"):
            return self.scope.positional if text == "@" or not quoted else joined(self.scope.positional)
        if text == "#":
            words = self.scope.positional
            return None if any(one.loose for one in words) else ShellWord(str(len(words)))
        if text.isdigit():
            return self.scope.argument(int(text)) if int(text) else None
        value = self.scope.variables.get(text)
        return value[0] if isinstance(value, list) and value else value

    def element(self, node: "Node") -> Value | None:
        name, index = (node.child_by_field_name(field) for field in ("name", "index"))
        if name is None or index is None:
            return None
        held = self.scope.variables.get(text_of(name))
        if isinstance(held, list) and held and (keyed := [KEYED.fullmatch(one) for one in held]) and all(keyed):
            return self.keyed(
                {found[1]: held[place].of_it(found[2]) for place, found in enumerate(keyed) if found}, index
            )
        if held is None or text_of(index) in ("@", "*"):
            return held
        place = arithmetic.value_of(index, self.number)
        values = held if isinstance(held, list) else [held]
        if place is None or any(one.loose for one in values):
            return None
        return values[place] if -len(values) <= place < len(values) else ShellWord("")

    def keyed(self, held: dict[str, ShellWord], index: "Node") -> ShellWord | None:
        """`${LR[large]}` of `LR=([small]=1e-3 [large]=5e-4)`; all of them have no order that the text tells."""
        key = self.text(index)
        return None if key.unknown or key in ("@", "*") else held.get(key, ShellWord(""))

    def operated(self, value: Value | None, tail: str, node: "Node", name: "Node") -> Value | None:
        """`${X:-y}` and its sisters; what is cut or replaced in what is known."""
        operator = next(
            (one for one in (":-", ":=", ":+", "-", "=", "+", "%%", "%", "##", "#") if tail.startswith(one)), ""
        )
        absent = value is None or (isinstance(value, ShellWord) and value.unknown == (f"${text_of(name)}",))
        if operator in (":-", ":=", "-", "="):
            chosen = self.default(tail[len(operator) :], node, name)
            if not absent and (value or not operator.startswith(":")):
                return value
            if operator.endswith("="):
                self.scope.variables[text_of(name)] = chosen
            return chosen
        if operator in (":+", "+"):
            return ShellWord("") if absent else self.default(tail[len(operator) :], node, name)
        if tail.startswith((":?", "?")):
            return value
        if absent or isinstance(value, list) or value is None or value.unknown:
            return None
        return cut(value, operator, tail[len(operator) :]) if operator else None

    def default(self, text: str, node: "Node", name: "Node") -> ShellWord:
        """The word after `:-`, whose nodes follow the operator."""
        after = [one for one in node.named_children if one.start_byte > name.end_byte]
        if not after:
            return ShellWord(text)
        fields = Fields(self.line_of(node))
        source, base, at = node.text or b"", node.start_byte, after[0].start_byte
        for part in after:
            fields.add(source[at - base : part.start_byte - base].decode("utf-8", "replace"))
            for _, piece in self.pieces(part, quoted=True):
                fields.add(joined(piece))
            at = part.end_byte
        fields.end()
        return fields.words[0] if fields.words else ShellWord("")
