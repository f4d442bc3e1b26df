"""Parses a command's arguments as argparse would, without the program that defines them."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

from collotype.importers.mapping import MappingLedger, line_of, shown
from collotype.importers.shell import ShellWord
from collotype.runtime.errors import UserError

Takes = Literal["none", "one", "many"]
V = TypeVar("V", bound=str)
Value = str | bool | list[str]


EARLIER = " (earlier)"
"""Behind the name of a flag that stands again further on."""


def by_flag(*of: tuple[str, V]) -> dict[str, V]:
    """A table of flags, from their names in one string (`lr epochs`) and what all of these have."""
    return {f"--{name}": value for names, value in of for name in names.split()}


def parse_arguments(words: Sequence[str], takes: Mapping[str, Takes], positional: bool = True) -> dict[str, Value]:
    """Flags by name, the last of equal ones; words without a flag by their place (`word 1`).

    Args:
        takes: of the known flags (`--lr`): how many words follow. Of an unknown one all words that are no flags do.
        positional: may words stand without a flag? The last of equal flags counts, as argparse has it; those before it
            are kept beside it.

    Raises:
        UserError: a flag has no value, or may be one of several that begin like it; a word belongs to no flag.
    """
    found: dict[str, Value] = {}
    strays = 0
    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        if not is_flag(word):
            if not positional:
                raise stray(word, words[place - 2] if place > 1 else "")
            strays += 1
            found[f"word {strays}"] = word
            continue
        name, value, place = taken(words, place, word, takes)
        if (
            not positional
            and name not in takes
            and any(getattr(one, "loose", False) for one in words[place - 1 : place])
        ):
            raise stray(words[place - 1], word)
        if name in found and found[name] != value:
            found[f"{name}{EARLIER}"] = found[name]
        found[name] = value
    return found


def tell_unknown(ledger: MappingLedger, takes: Mapping[str, Takes], program: str) -> None:
    """Says first which flags the program does not have, and leaves out those that stand again.

    Raises:
        UserError: a flag is one that it has, written with the wrong dashes, so that argparse would stop.
    """
    for name in ledger.given:
        if name.endswith(EARLIER):
            ledger.leave(name, "the flag is repeated later, and the last one counts")
        elif name.startswith("-") and name not in takes:
            meant = next((flag for flag in takes if dashed(flag) == dashed(name)), None)
            if meant:
                raise UserError(f"{program} has no flag {name} and would stop; write {meant}.")
            near = difflib.get_close_matches(name, takes, 1, 0.85)
            hint = f" (did you mean {near[0]}?)" if near else ""
            ledger.assume(
                name,
                f"{program} has no such flag{hint}; a modified copy may have it, and then it may change the plan",
                ledger.given[name],
            )


def dashed(flag: str) -> str:
    return flag.strip("-").replace("_", "-").lower()


def taken(words: Sequence[str], place: int, word: str, takes: Mapping[str, Takes]) -> tuple[str, Value, int]:
    """A flag's full name and value, and where the next one may stand."""
    written, equals, value = word.partition("=")
    name = full_name(written, takes)
    kind = takes.get(name, "many")
    if equals:
        value = part_of(word, value)
        return name, [value] if kind == "many" and name in takes else value, place
    if kind == "none":
        return name, True, place
    if kind == "one":
        if place >= len(words) or words[place].startswith("--"):
            raise UserError(f"{name} has no value; write one after it.")
        return name, words[place], place + 1
    end = place
    while end < len(words) and not is_flag(words[end]):
        end += 1
    values = list(words[place:end])
    return name, values if name in takes else " ".join(values) or True, end


def part_of(word: str, text: str) -> str:
    """A part of a script's word still knows what of it is unknown."""
    return word.of_it(text) if isinstance(word, ShellWord) else text


def stray(word: str, before: str) -> UserError:
    where = f"{line_of(word)}{f' after {shown(before)}' if before else ''}"
    if unknown := getattr(word, "unknown", ()):
        return UserError(
            f"The flags in {shown(word)}{where} are unknown, because the text does not set {shown(unknown[0])}; set it "
            "above the command, or write the flags out."
        )
    return UserError(
        f"The word {shown(word)!r}{where} belongs to no flag, and the program takes no other arguments; remove it, "
        "or quote the words that belong together."
    )


def is_flag(word: str) -> bool:
    """A dash and a letter; `-1` and `-0.5` are values."""
    return word.startswith("-") and word.lstrip("-")[:1].isalpha()


def full_name(name: str, takes: Mapping[str, Takes]) -> str:
    """The flag that is meant: argparse takes any beginning that is one flag's alone."""
    if name in takes or not name.startswith("--"):
        return name
    meant = [flag for flag in takes if flag.startswith(name)]
    if len(meant) > 1:
        raise UserError(f"{name} is ambiguous: {' or '.join(meant[:6])}; write the whole flag.")
    return meant[0] if meant else name
