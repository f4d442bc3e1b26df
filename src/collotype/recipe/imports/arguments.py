"""A command's arguments as argparse would take them, without the program that defines them."""

from collections.abc import Mapping, Sequence
from typing import Literal

from collotype.runtime.errors import UserError

Takes = Literal["none", "one", "many"]
Value = str | bool | list[str]


def parse_arguments(words: Sequence[str], takes: Mapping[str, Takes]) -> dict[str, Value]:
    """Flags by name, the last of equal ones; words without a flag by their place (`word 1`).

    Args:
        takes: of the known flags (`--lr`): how many words follow. Of an unknown one all words that are no flags do.

    Raises:
        UserError: a flag has no value, or may be one of several that begin like it.
    """
    found: dict[str, Value] = {}
    strays = 0
    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        if not is_flag(word):
            strays += 1
            found[f"word {strays}"] = word
            continue
        written, equals, value = word.partition("=")
        name = full_name(written, takes)
        kind = takes.get(name, "many")
        if equals:
            found[name] = [value] if kind == "many" and name in takes else value
        elif kind == "none":
            found[name] = True
        elif kind == "one":
            if place >= len(words) or words[place].startswith("--"):
                raise UserError(f"{name} has no value; write one after it.")
            found[name] = words[place]
            place += 1
        else:
            end = place
            while end < len(words) and not is_flag(words[end]):
                end += 1
            values, place = list(words[place:end]), end
            found[name] = values if name in takes else " ".join(values) or True
    return found


def is_flag(word: str) -> bool:
    """A dash and a letter; `-1` and `-0.5` are values."""
    return word.startswith("-") and word.lstrip("-")[:1].isalpha()


def full_name(name: str, takes: Mapping[str, Takes]) -> str:
    """The flag that is meant: argparse takes any beginning that is one flag's alone."""
    if name in takes or not name.startswith("--"):
        return name
    meant = [flag for flag in takes if flag.startswith(name)]
    if len(meant) > 1:
        raise UserError(f"{name} may be {' or '.join(meant[:6])}; write the whole flag.")
    return meant[0] if meant else name
