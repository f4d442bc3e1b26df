"""Maps the settings of another tool to the recipe, to notes, or to the list of what was left out."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Unpack

from collotype.importers.imported import Imported, LeftOut, Origin
from collotype.importers.upstream import Upstream
from collotype.recipe.load import set_key
from collotype.recipe.schema import Recipe
from collotype.runtime.errors import UserError

LARGEST = 10**12
"""No count of a training is larger; what is, is a mistake or a joke."""
SECRET = re.compile(r"(?i:token$|secret|passw|api_?key)|_KEY")
"""Settings whose values a recipe, which people share, must not repeat."""
OFF = ("", "0", "0.0", "false", "none", "null", "{}", "[]")
"""Values at which a setting does nothing."""
NOT_GIVEN = "not given"
"""The value of what is left out although the text does not have it: something that it ought to say."""


class MappingLedger:
    """Takes settings by the other tool's names; what nobody took is left out at the end, so none is forgotten.

    Args:
        given: the settings that the text has.
    """

    def __init__(self, tool: str, given: Mapping[str, Any]):
        self.tool, self.given = tool, dict(given)
        self.values: dict[str, Any] = {}
        self.settings: Upstream = {}
        self.carried: dict[str, str] = {}
        self.left: list[LeftOut] = []
        self.assumed: list[str] = []
        self.reported: set[str] = set()
        """Settings of which it is said that a part of them is not known."""

    def recipe(self, key: str, value: Any, *names: str) -> None:
        """Sets the recipe's dotted key, which comes of the settings of these names."""
        set_key(self.values, key, value)
        self.account(key, names)

    def beside(self, *names: str, **settings: Unpack[Upstream]) -> None:
        """States what the other tool would have done, as its settings of these names say."""
        self.settings |= settings
        for key in settings:
            self.account(f"origin.{key}", names)

    def account(self, target: str, names: tuple[str, ...]) -> None:
        """Notes what became of those settings that are given."""
        for name in names:
            if name in self.given:
                self.carried.setdefault(name, target)

    def leave(self, name: str, reason: str, value: Any = None) -> None:
        value = self.given.get(name) if value is None else value
        text = "(not shown)" if SECRET.search(name) and value else shown(value)
        self.left.append(LeftOut(name=name, value=text, reason=reason))

    def assume(self, name: str, sentence: str, value: Any = NOT_GIVEN) -> None:
        """Leaves out what the text does not tell, and says first what was taken instead."""
        self.leave(name, sentence, value)
        shown_value = "" if value == NOT_GIVEN else f" = {self.left[-1].value}"
        self.assumed.append(f"{name}{shown_value}: {sentence}")

    def leave_rest(self, reasons: Mapping[str, str], otherwise: str, changing: Mapping[str, str] | None = None) -> None:
        """Leaves out every setting that nobody took.

        Args:
            changing: reasons of those that change a result, unless they are off: they are said first.
        """
        known = {one.name for one in self.left}
        for name, value in self.given.items():
            if name in self.carried or name in known:
                continue
            if changing and name in changing and str(value).lower() not in OFF:
                self.assume(name, changing[name], value)
            else:
                self.leave(name, reasons.get(name, otherwise))

    def close(self, launcher: str, processes: int) -> Imported:
        origin = Origin(
            tool=self.tool,
            launcher=launcher,
            processes=processes,
            settings=self.settings,
            assumed=tuple(self.assumed),
        )
        values = {key: self.values[key] for key in Recipe.model_fields if key in self.values}
        return Imported(values=values, origin=origin, left_out=tuple(self.left), carried=self.carried)

    def number(self, name: str, default: float) -> float:
        """
        Raises:
            UserError: it is no finite number.
        """
        number: float = self.read(name, default, float, "a number")
        return number

    def whole(self, name: str, default: int) -> int:
        """
        Raises:
            UserError: it is no whole number, or larger than any count here.
        """
        number: int = self.read(name, default, int, "a whole number")
        return number

    def count(self, name: str, default: int) -> int:
        """
        Raises:
            UserError: it is no whole number from 1.
        """
        value = self.whole(name, default)
        if value < 1:
            raise UserError(f"{name} is {value}; it must be 1 or more.")
        return value

    def read(self, name: str, default: Any, kind: type, words: str) -> Any:
        value = self.given.get(name)
        if value is None:
            return default
        if unknown := getattr(value, "unknown", ()):
            raise UserError(
                f"{name} is {shown(value)}{line_of(value)}, but the text does not set {shown(unknown[0])}; set it "
                "above the command."
            )
        try:
            number = kind(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
            if math.isnan(number) or abs(number) > LARGEST or (kind is int and number != float(value)):
                raise ValueError
        except (ValueError, OverflowError):
            raise UserError(f"{name} is {shown(value)}; it must be {words}.") from None
        return number

    def text(self, name: str, default: str | None = None) -> str | None:
        """A line of text, as it is written where only a run knows what it is; that is said.

        Raises:
            UserError: it is no text of one line.
        """
        value = self.given.get(name)
        if value is None:
            return default
        if (unknown := getattr(value, "unknown", ())) and name not in self.reported:
            self.reported.add(name)
            kept = f"the text does not set {', '.join(map(shown, unknown))}; it is kept as written"
            self.assume(f"{name}{line_of(value)}", kept, value)
        if not isinstance(value, str) or not is_one_line(value):
            raise UserError(f"{name} is {shown(value)}; it must be a single line of text.")
        return str(value)

    def switch(self, name: str, default: bool = False) -> bool:
        """
        Raises:
            UserError: it is neither true nor false.
        """
        value = self.given.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise UserError(f"{name} is {shown(value)}; it must be true or false.")
        return value


def line_of(word: Any) -> str:
    """Where a word of a script stands."""
    line = getattr(word, "line", 0)
    return f" (line {line})" if line else ""


def is_one_line(text: str) -> bool:
    """Can it stand in a recipe, a message and a file as it is?"""
    return all(sign.isprintable() or sign == "\t" for sign in text)


def shown(value: Any) -> str:
    """A foreign value in one short line, whatever it holds."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    line = "".join(sign if is_one_line(sign) else " " for sign in text[:400])
    return line if len(line) <= 160 else f"{line[:159]}…"


def slug(text: str) -> str:
    """A name for a run, of whatever names the original."""
    name = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_.") else "-" for sign in text).strip("-_.")
    return name[:60] or "imported"
