"""A shell script's simple commands, read and never run.

Comments, continued lines, quotes, redirections and variables that the text itself sets are understood. Of what only a
shell knows (`$(nproc)`, variables set elsewhere) the text stays as it is written.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from collotype.runtime.errors import UserError

LONGEST_WORD = 20_000
"""Characters; variables that double each other would grow without end."""
MOST_WORDS = 5_000
NAME = re.compile(r"[A-Za-z_]\w*")
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
REDIRECTION = re.compile(r"\d?[<>]+(&\d|&-)?[ \t]*")
BRACED = re.compile(r"\{([A-Za-z_]\w*)(?::?-([^{}\n]*))?\}")


@dataclass(frozen=True)
class Command:
    words: list[str]
    environment: dict[str, str]
    """What the text has set before it, or in front of it."""


def simple_commands(text: str) -> Iterator[Command]:
    """
    Raises:
        UserError: a quote is not closed, or the text is beyond all measure.
    """
    environment: dict[str, str] = {}
    words: list[str] = []
    for word in Lexer(text, environment).words():
        if word is None:
            if words:
                yield Command(words, dict(environment))
            words = []
        elif not words and (assigned := ASSIGNMENT.fullmatch(word)):
            environment[assigned[1]] = assigned[2]
        elif words or word not in ("export", "env"):
            words.append(word)


class Lexer:
    """Words of a shell's text; None stands for the end of a command."""

    def __init__(self, text: str, environment: dict[str, str]):
        self.text, self.environment, self.at = text.replace("\r\n", "\n"), environment, 0

    def words(self) -> Iterator[str | None]:
        for number, word in enumerate(self.parts()):
            if number > MOST_WORDS:
                raise UserError(f"The text has more than {MOST_WORDS} words; give the training command alone.")
            yield word
        yield None

    def parts(self) -> Iterator[str | None]:
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign in "\n;&|()":
                self.at += 1
                yield None
            elif sign.isspace():
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif sign == "#":
                end = self.text.find("\n", self.at)
                self.at = end if end >= 0 else len(self.text)
            elif found := REDIRECTION.match(self.text, self.at):
                self.at = found.end()
                if not found[1]:
                    self.word()
            else:
                yield self.word()

    def word(self) -> str:
        return self.joined(self.piece, lambda sign: sign.isspace() or sign in ";&|()<>")

    def joined(self, piece: Callable[[], str], ends: Callable[[str], bool]) -> str:
        """The pieces up to a sign that ends them."""
        pieces: list[str] = []
        length = 0
        while self.at < len(self.text) and not ends(self.text[self.at]):
            pieces.append(piece())
            length += len(pieces[-1])
            if length > LONGEST_WORD:
                raise UserError(f"A word of the command has more than {LONGEST_WORD} characters; shorten it.")
        return "".join(pieces)

    def piece(self) -> str:
        sign = self.text[self.at]
        if sign == "'":
            end = self.text.find("'", self.at + 1)
            if end < 0:
                raise UserError("The command has a quote (') that is not closed; close it.")
            piece, self.at = self.text[self.at + 1 : end], end + 1
            return piece
        if sign == '"':
            self.at += 1
            inside = self.joined(self.quoted_piece, lambda sign: sign == '"')
            if self.at >= len(self.text):
                raise UserError('The command has a quote (") that is not closed; close it.')
            self.at += 1
            return inside
        if sign == "\\":
            self.at += 2
            return self.text[self.at - 1 : self.at].strip("\n")
        return self.quoted_piece()

    def quoted_piece(self) -> str:
        """A piece as it is between double quotes."""
        sign = self.text[self.at]
        if sign in "$`":
            return self.expansion()
        if sign == "\\" and self.text[self.at + 1 : self.at + 2] in ('"', "\\", "$", "`", "\n"):
            self.at += 2
            return self.text[self.at - 1].strip("\n")
        self.at += 1
        return sign

    def expansion(self) -> str:
        """The value of a variable that the text sets or gives a default; else the text as it is written."""
        start = self.at
        if self.text[start] == "`":
            end = self.text.find("`", start + 1)
            self.at = end + 1 if end >= 0 else len(self.text)
            return self.text[start : self.at]
        if self.text.startswith("$(", start):
            depth = 0
            for end in range(start + 1, len(self.text)):
                depth += {"(": 1, ")": -1}.get(self.text[end], 0)
                if not depth:
                    break
            self.at = end + 1
            return self.text[start : self.at]
        if braced := BRACED.match(self.text, start + 1):
            self.at = braced.end()
            return self.environment.get(braced[1], self.text[start : self.at] if braced[2] is None else braced[2])
        if named := NAME.match(self.text, start + 1):
            self.at = named.end()
            return self.environment.get(named[0], self.text[start : self.at])
        self.at += 1
        return "$"
