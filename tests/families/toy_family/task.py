"""The line's answers to the engine's questions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from collotype.evaluation.results import Measured
from collotype.families.shared.suites import OpenedSuites, require_suite
from collotype.families.shared.task import FamilyTask, parameter_counts
from collotype.recipe.schema import Evaluate
from collotype.runtime.hub import Need
from collotype.runtime.process import ALONE, World
from collotype.training.overlap import Samples
from collotype.training.task import Batch, Loss, Outputs, facts_of_sources
from tests.families.toy_family.model import Line, save
from tests.families.toy_family.recipe import LineRecipe

SUITES = {"origin": lambda: torch.tensor([1.0, 2.0])}


def find_suite(choice: Evaluate) -> torch.Tensor:
    require_suite(choice, SUITES, "a line")
    return SUITES[choice.suite]()


def evaluate(model: Line, choice: Evaluate) -> list[Measured]:
    points = find_suite(choice)
    with torch.no_grad():
        error = (model(points) - 3 * points).abs().mean()
    return [Measured(f"{choice.suite}/all", {"error": float(error)}, "error")]


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


def collate(examples: list[float]) -> Batch:
    return {"x": torch.tensor(examples)}


def tokens(examples: list[float]) -> list[int]:
    return [1] * len(examples)


class LineTask(FamilyTask[LineRecipe, Line]):
    couples_examples = False
    collate, tokens = staticmethod(collate), staticmethod(tokens)

    def __init__(self, recipe: LineRecipe):
        super().__init__(recipe)
        self.suite = OpenedSuites(find_suite)

    def build(self) -> Line:
        self.seed_init("init")
        return Line()

    def blocks(self, model: Line) -> list[nn.Module]:
        return [model.slope]

    def head(self, model: Line) -> None:
        return None

    def datasets(self) -> list[Points]:
        return [Points(source.count) for source in self.recipe.data.train]

    def outputs(self, model: Line, batch: Batch) -> Outputs:
        return {"found": model(batch["x"]), "x": batch["x"]}

    def loss(self, outputs: Outputs) -> Loss:
        return Loss((outputs["found"] - 3 * outputs["x"]).square().mean())

    def evaluate(
        self, model: Line, choice: Evaluate, examples_to: Path | None = None, world: World = ALONE
    ) -> list[Measured]:
        return evaluate(model, choice)

    def metrics(self) -> tuple[str, ...]:
        return ("error",)

    def save(self, model: Line, folder: Path) -> None:
        save(model, folder)

    def negatives_per_query(self) -> int:
        return 0

    def train_facts(self) -> dict[str, Any]:
        return facts_of_sources(self.recipe.data.train, self.datasets())

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

    def events(self, steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return []

    def describe(self) -> dict[str, Any]:
        return {**parameter_counts(Line()), "forward_gflops": 0.0, "architecture": "a line"}
