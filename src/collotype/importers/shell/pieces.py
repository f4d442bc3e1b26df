"""Pieces of words: removing quotes and backslashes, splitting."""

import re
from collections.abc import Iterator
from fnmatch import translate

from collotype.importers.shell.words import OPAQUE, ShellWord

Value = ShellWord | list[ShellWord]


def opened(form: str, pieces: list[tuple[str, Value]]) -> Iterator[tuple[str, Value]]:
    """The pieces behind the signs that stood for them."""
    for part in re.split(f"([{chr(OPAQUE)}-{chr(OPAQUE + 0xFFFD)}])", form):
        place = ord(part) - OPAQUE if len(part) == 1 else -1
        if 0 <= place < len(pieces):
            yield pieces[place]
        elif part:
            yield "literal", ShellWord(part)


def joined(value: Value) -> ShellWord:
    """An array as one word, as an assignment makes of it."""
    if isinstance(value, list):
        return ShellWord(
            " ".join(value), 0, [name for one in value for name in one.unknown], bool(value) and value[0].loose
        )
    return value


def unescaped(text: str) -> Iterator[tuple[str, ShellWord]]:
    """A word outside quotes; what follows a backslash is no brace and no space."""
    for part in re.split(r"(\\.)", text, flags=re.DOTALL):
        if part.startswith("\\") and len(part) == 2:
            if part != "\\\n":
                yield "kept", ShellWord(part[1])
        elif part:
            yield "literal", ShellWord(part)


def dequoted(raw: bytes, body: bool) -> ShellWord:
    text = raw.decode("utf-8", "replace")
    return ShellWord(re.sub(r"\\([$`\\\n])" if body else r"\\([$`\"\\\n])", lambda found: found[1].strip("\n"), text))


def counted(text: str) -> ShellWord | None:
    """`$(seq 1 3)`, with its numbers written out."""
    found = re.fullmatch(r"(?:\$\(|`)\s*seq\s+(?:(\d{1,4})\s+)?(\d{1,4})\s*(?:\)|`)", text)
    return (
        ShellWord(" ".join(str(number) for number in range(int(found[1] or 1), int(found[2]) + 1))) if found else None
    )


def length(value: Value | None, of_array: bool) -> ShellWord | None:
    if value is None or any(one.unknown for one in (value if isinstance(value, list) else [value])):
        return None
    return ShellWord(str(len(value) if isinstance(value, list) or not of_array else 1))


def cut(value: ShellWord, operator: str, pattern: str) -> ShellWord | None:
    """`${X%.*}`, `${X##*/}`: the shortest or longest match at the end or the beginning goes."""
    if "$" in pattern or len(pattern) > 40 or pattern.count("*") > 2 or len(value) > 400:
        return None
    match = re.compile(translate(pattern.strip("\"'")))
    from_end, longest = operator.startswith("%"), len(operator) == 2
    cuts = [place for place in range(len(value) + 1) if match.match(value[place:] if from_end else value[:place])]
    if not cuts:
        return value
    place = cuts[0] if from_end == longest else cuts[-1]
    return value.of_it(value[:place] if from_end else value[place:])
