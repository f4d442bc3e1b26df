"""Large JSON files whose object holds one long array: read element by element."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from collotype.runtime.errors import UserError

BLOCK = 2**20
"""Characters read at a time."""
DECODER = json.JSONDecoder()
CUT_NUMBER = 2
"""Characters that may follow what reads as a whole number in one that is cut off: the `e-` of 1.5e-7."""


class JsonArray:
    """The elements of the array `member` of a file's object, one after the other, each time it is iterated.

    `others` are the object's other members: those before the array as soon as its first element is there, all of them
    after the last.
    """

    def __init__(self, path: Path, member: str):
        self.path, self.member = path, member
        self.others: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Any]:
        """
        Raises:
            UserError: the file cannot be read, is not a JSON object, or has no such array.
        """
        try:
            with self.path.open(encoding="utf-8") as file:
                yield from self._elements(Cursor(file))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path} cannot be read ({error}); check the path or copy it again.") from error

    def _elements(self, cursor: "Cursor") -> Iterator[Any]:
        found, separator = False, cursor.one_of("{")
        while separator != "}":
            name = cursor.value()
            cursor.one_of(":")
            if name == self.member:
                found = True
                yield from cursor.elements()
            else:
                self.others[name] = cursor.value()
            separator = cursor.one_of(",}")
        if not found:
            raise ValueError(f"it has no {self.member!r}")


class Cursor:
    """A place in a file of JSON."""

    def __init__(self, file: TextIO):
        self.file, self.text, self.at, self.ended = file, "", 0, False

    def _read_on(self) -> None:
        more = self.file.read(BLOCK)
        self.text, self.at, self.ended = self.text[self.at :] + more, 0, not more

    def _skip_space(self) -> None:
        while True:
            while self.at < len(self.text) and self.text[self.at].isspace():
                self.at += 1
            if self.at < len(self.text) or self.ended:
                return
            self._read_on()

    def one_of(self, wanted: str) -> str:
        """The next character, which must be one of these."""
        self._skip_space()
        found = self.text[self.at : self.at + 1]
        if not found or found not in wanted:
            raise ValueError(f"found {found!r} instead of one of {wanted!r}")
        self.at += 1
        return found

    def value(self) -> Any:
        """The next value, whole."""
        self._skip_space()
        stuck = None
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.at)
                if end + CUT_NUMBER < len(self.text) or self.ended:
                    self.at = end
                    return value
            except json.JSONDecodeError as error:
                # what is cut off reads as an error, which moves or goes when there is more of it
                problem = (error.msg, error.pos - self.at)
                if self.ended or (problem == stuck and "Unterminated" not in error.msg):
                    raise
                stuck = problem
            self._read_on()

    def elements(self) -> Iterator[Any]:
        self.one_of("[")
        self._skip_space()
        if self.text[self.at : self.at + 1] == "]":
            self.at += 1
            return
        while True:
            yield self.value()
            if self.one_of(",]") == "]":
                return
