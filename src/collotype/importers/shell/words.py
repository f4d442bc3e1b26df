"""Words of a command, as bash splits and writes them out."""

import re
from collections.abc import Iterator, Sequence
from typing import Self

from collotype.runtime.errors import UserError

LONGEST_WORD = 20_000
"""Characters; variables that double each other would grow without end."""
MOST_BRACED = 100
"""Words that a brace pattern is written out into, the last of them always; what takes one takes no more of them."""
RANGE = re.compile(r"(-?\d{1,9})\.\.(-?\d{1,9})(?:\.\.-?(\d{1,9}))?")
BRACES = re.compile(r"(?<!\$)\{((?:[^{},\s]*,)+[^{},\s]*|-?\d{1,9}\.\.-?\d{1,9}(?:\.\.-?\d{1,9})?)\}")
OPAQUE = 0xF0000
"""Signs of Unicode's private plane 15, which stand for pieces that braces do not look into."""


class ShellWord(str):
    """A word, where it stands, and what of it the text does not tell."""

    line: int
    unknown: tuple[str, ...]
    """Parts of it whose value only a run knows, as they are written."""
    loose: bool
    """It is nothing but such: it may turn out as no word at all, or as several."""

    def __new__(cls, text: str, line: int = 0, unknown: Sequence[str] = (), loose: bool = False) -> Self:
        if len(text) > LONGEST_WORD:
            raise UserError(f"A word of the command has more than {LONGEST_WORD} characters; shorten it.")
        self = super().__new__(cls, text)
        self.line, self.unknown, self.loose = line, tuple(dict.fromkeys(unknown)), loose
        return self

    def of_it(self, text: str) -> "ShellWord":
        """A part of this word."""
        return ShellWord(text, self.line, [one for one in self.unknown if one in text])


def unknown(text: str, line: int = 0, loose: bool = True) -> ShellWord:
    """A word that only a run knows, as it is written."""
    return ShellWord(text, line, (text,), loose)


class Fields:
    """Collects pieces into words: what is in quotes stays together, what is not is split at its spaces."""

    def __init__(self, line: int):
        self.line, self.words = line, list[ShellWord]()
        self.reset()

    def reset(self) -> None:
        self.text, self.unknown, self.started, self.sure = "", list[str](), False, False

    def add(self, piece: str, split: bool = False) -> None:
        if not split:
            return self.append(piece, not getattr(piece, "loose", False))
        for number, part in enumerate(re.split(r"[ \t\n]+", piece)):
            if number:
                self.end()
            if part:
                names = [one for one in getattr(piece, "unknown", ()) if one in part]
                self.append(ShellWord(part, self.line, names), bool(left_of(part, names)))

    def append(self, piece: str, sure: bool) -> None:
        self.text += piece
        self.unknown += getattr(piece, "unknown", ())
        self.started, self.sure = True, self.sure or sure
        if len(self.text) > LONGEST_WORD:
            self.end()

    def end(self) -> None:
        if self.started:
            self.words.append(ShellWord(self.text, self.line, self.unknown, bool(self.unknown) and not self.sure))
        self.reset()


def left_of(text: str, names: Sequence[str]) -> str:
    for name in names:
        text = text.replace(name, "")
    return text


def braced(text: str) -> Iterator[str]:
    """The words that bash writes a word with braces out into, before it looks at anything else in it."""
    found = BRACES.search(text)
    if not found:
        yield text
        return
    for rest in braced(text[found.end() :]):
        for choice in choices(found[1]):
            yield f"{text[: found.start()]}{choice}{rest}"


def choices(inside: str) -> Iterator[str]:
    span = RANGE.fullmatch(inside)
    if not span:
        yield from inside.split(",")[:MOST_BRACED]
        return
    first, last, by = int(span[1]), int(span[2]), int(span[3] or 1) or 1
    ends = (span[1].lstrip("-"), span[2].lstrip("-"))
    width = max(map(len, ends)) if any(len(one) > 1 and one[0] == "0" for one in ends) else 0
    numbers = range(first, last + 1, by) if first <= last else range(first, last - 1, -by)
    shown = numbers if len(numbers) <= MOST_BRACED else [*numbers[: MOST_BRACED - 1], numbers[-1]]
    for number in shown:
        yield f"{number:0{width}d}" if width else str(number)
