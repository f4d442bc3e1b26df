"""Compares two runs, or a run with a published result: results, and differences by likely effect."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from collotype.evaluation import per_query
from collotype.report.comparables import ComparisonSide, flatten, read_side
from collotype.runtime.hub import plain

SEVERITIES = ("blocks", "will differ", "may differ", "unknown", "note")


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a difference in some keys does to a number."""

    keys: tuple[str, ...]
    """Dotted, of a recipe, a plan, an environment, data or weights; what is below a key is meant, too."""
    severity: str
    """As a finding's: will differ, may differ, note."""
    why: str
    source: str = ""

    def concerns(self, key: str) -> int:
        """The length of its key that the other is or is below; 0 for none."""
        return max((len(own) for own in self.keys if f"{key}.".startswith(f"{own}.")), default=0)


UNKNOWN = Effect(keys=(), severity="unknown", why="")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A key in which two sides differ."""

    section: str
    key: str
    values: tuple[Any, Any]
    severity: str
    why: str
    source: str


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The dotted keys whose values differ, with both values."""
    left, right = flatten(one), flatten(other)
    keys = [*left, *(key for key in right if key not in left)]
    return {key: (left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)}


@dataclass(frozen=True)
class Comparison:
    """Two sides, and in what they differ."""

    left: ComparisonSide
    right: ComparisonSide
    differences: list[Difference]
    """Most likely cause first."""

    @property
    def names(self) -> tuple[str, str]:
        one, other = self.left.name, self.right.name
        return (one, other) if one != other else (f"{one} (first)", f"{other} (second)")

    @property
    def results(self) -> dict[str, dict[str, tuple[float, float]]]:
        """By dataset and metric, of what both have measured."""
        return {
            dataset: {metric: (value, there[metric]) for metric, value in metrics.items() if metric in there}
            for dataset, metrics in self.left.results.items()
            if (there := self.right.results.get(dataset))
        }

    @cached_property
    def intervals(self) -> dict[str, dict[str, per_query.Interval]]:
        """Of the difference, over the queries, by dataset and metric; where both have each query's values."""
        found: dict[str, dict[str, per_query.Interval]] = {}
        for dataset, metrics in self.results.items():
            one, other = self.left.queries.get(dataset), self.right.queries.get(dataset)
            for metric in metrics if one and other else ():
                if one and other and (interval := per_query.difference(one, other, metric)):
                    found.setdefault(dataset, {})[metric] = interval
        return found

    def interval(self, dataset: str, metric: str) -> str:
        """As tables show it; empty where it is not known."""
        found = self.intervals.get(dataset, {}).get(metric)
        # without the sign of a negative zero
        return "[{:+.3f}, {:+.3f}]".format(*(round(end, 3) + 0.0 for end in found)) if found else ""

    def noise(self, dataset: str, metric: str) -> float | None:
        """What a difference must exceed to mean something: the larger noise of the two; none where neither is known."""
        known = [side.noise.get(dataset, {}).get(metric) for side in (self.left, self.right)]
        return max((value for value in known if value is not None), default=None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: names, places, differences, results (a pair by dataset and metric), noise, intervals, seconds."""
        noise = {
            dataset: {metric: noise for metric in metrics if (noise := self.noise(dataset, metric)) is not None}
            for dataset, metrics in self.results.items()
        }
        return {
            "names": self.names,
            "places": (self.left.place, self.right.place),
            "differences": [asdict(difference) for difference in self.differences],
            "results": self.results,
            "noise": noise,
            "intervals": self.intervals,
            "seconds": (self.left.seconds, self.right.seconds),
        }


def compare(one: str | Path, other: str | Path, effects: Sequence[Effect]) -> Comparison:
    """
    Args:
        one, other: folders of finished runs or of several seeds, or published:NAME.
        effects: what differences do, the gravest first.

    Raises:
        UserError: one of the two is nothing that can be compared.
    """
    left, right = read_side(one), read_side(other)
    return Comparison(left, right, by_effect(left, right, effects))


def by_effect(left: ComparisonSide, right: ComparisonSide, effects: Sequence[Effect]) -> list[Difference]:
    """What differs, in the order of what it is likely to do."""

    def place(difference: Difference) -> tuple[int, int]:
        effect = effect_of(difference.key, effects)
        return SEVERITIES.index(effect.severity), effects.index(effect) if effect in effects else 0

    found = []
    for key, section in sections(left, right).items():
        values = tuple(lookup(side, key) for side in (left, right))
        unsaid = any(value is MISSING and not side.complete for value, side in zip(values, (left, right), strict=True))
        values = tuple(None if value is MISSING else value for value in values)
        if not unsaid and not same(*values):
            effect = effect_of(key, effects)
            found.append(
                Difference(
                    section=section,
                    key=key,
                    values=values,
                    severity=effect.severity,
                    why=effect.why,
                    source=effect.source,
                )
            )
    return sorted(found, key=place)


def effect_of(key: str, effects: Sequence[Effect]) -> Effect:
    """The effect that says most precisely what the key does."""
    best = max(effects, key=lambda effect: effect.concerns(key), default=UNKNOWN)
    return best if best.concerns(key) else UNKNOWN


def same(one: Any, other: Any) -> bool:
    """Are they equal, but for the rounding of a number that was published in decimals?"""
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-4)
    if isinstance(one, str) and isinstance(other, str) and "@" not in (one if "@" in other else other):
        # a name without a revision does not say which
        return plain(one) == plain(other)
    return bool(one == other)


MISSING = object()


def lookup(side: ComparisonSide, key: str) -> Any:
    return next((facts[key] for facts in side.facts.values() if key in facts), MISSING)


def sections(left: ComparisonSide, right: ComparisonSide) -> dict[str, str]:
    """Every key of the two with its section, that of a complete side where one is. Of datasets, only common ones."""
    found: dict[str, str] = {}
    for side in sorted((left, right), key=lambda side: not side.complete):
        for section, facts in side.facts.items():
            for key in facts:
                found.setdefault(key, section)
    elsewhere = {
        name for name in {*left.results, *right.results} if not (name in left.results and name in right.results)
    }
    return {key: section for key, section in found.items() if not any(key.startswith(f"data.{x}.") for x in elsewhere)}


def in_short(value: Any) -> str:
    """A value of a recipe or record for a table's cell."""
    if value is None:
        return "–"
    text = str(value)
    is_digest = len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)
    return f"{text[:12]}…" if is_digest else text
