"""What a plan asks of a line's recipe."""

from collections.abc import Callable
from typing import Any

from collotype.families.shared.facts import FamilyFacts
from collotype.families.shared.suites import OpenedSuites, require_suite
from collotype.recipe.evaluate import Evaluate
from collotype.runtime.hub import Need
from collotype.training.facts import facts_of_sources
from collotype.training.overlap import Samples
from tests.families.toy_family.recipe import LineRecipe

SUITES = {"origin": [1.0, 2.0]}


def find_suite(choice: Evaluate) -> list[float]:
    require_suite(choice, SUITES, "a line")
    return SUITES[choice.suite]


class Points:
    """(x, 3x) by row."""

    regions, left_out = (), 0

    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def example(self, row: int, epoch: int) -> float:
        return row / self.count

    def identities(self, row: int) -> tuple[int]:
        return (row,)

    def fingerprint(self) -> str:
        return f"points {self.count}"


class LineFacts(FamilyFacts[LineRecipe]):
    def __init__(self, recipe: LineRecipe):
        super().__init__(recipe)
        self.suite = OpenedSuites(find_suite)

    def sources(self) -> list[Points]:
        return [Points(source.count) for source in self.recipe.data.train]

    def metrics(self) -> tuple[str, ...]:
        return ("error",)

    def negatives_per_query(self) -> int:
        return 0

    def train_facts(self) -> dict[str, Any]:
        return facts_of_sources(self.recipe.data.train, self.sources())

    def facts_of(self, choice: Evaluate) -> dict[str, Any]:
        return {f"{choice.suite}/all": {"points": len(self.suite(choice))}}

    def samples(self, choice: Evaluate | None = None) -> dict[str, Samples]:
        return {}

    def needs(self) -> dict[str, Callable[[], list[Need]]]:
        return {}

    def require_weights(self) -> None:
        """All weights are random."""

    def use_published_config(self) -> None:
        """No line is published."""

    def describe(self) -> dict[str, Any]:
        return {"parameters": 1, "trainable_parameters": 1, "forward_gflops": 0.0, "architecture": "a line"}


SPEC = LineFacts
