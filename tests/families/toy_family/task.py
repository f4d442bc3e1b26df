"""The line's answers to the engine's questions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from collotype.evaluation.results import Measured
from collotype.families.shared.task import FamilyTask
from collotype.recipe.evaluate import Evaluate
from collotype.runtime.world import ALONE, World
from collotype.training.task import Batch, Loss, Outputs
from tests.families.toy_family.facts import LineFacts, Points, find_suite
from tests.families.toy_family.model import Line, save
from tests.families.toy_family.recipe import LineRecipe


def evaluate(model: Line, choice: Evaluate) -> list[Measured]:
    points = torch.tensor(find_suite(choice))
    with torch.no_grad():
        error = (model(points) - 3 * points).abs().mean()
    return [Measured(f"{choice.suite}/all", {"error": float(error)}, "error")]


def collate(examples: list[float]) -> Batch:
    return {"x": torch.tensor(examples)}


def tokens(examples: list[float]) -> list[int]:
    return [1] * len(examples)


class LineTask(LineFacts, FamilyTask[LineRecipe, Line]):
    couples_examples = False
    collate, tokens = staticmethod(collate), staticmethod(tokens)

    def build(self) -> Line:
        self.seed_init("init")
        return Line()

    def blocks(self, model: Line) -> list[nn.Module]:
        return [model.slope]

    def head(self, model: Line) -> None:
        return None

    def datasets(self) -> list[Points]:
        return self.sources()

    def outputs(self, model: Line, batch: Batch) -> Outputs:
        return {"found": model(batch["x"]), "x": batch["x"]}

    def loss(self, outputs: Outputs) -> Loss:
        return Loss((outputs["found"] - 3 * outputs["x"]).square().mean())

    def evaluate(
        self, model: Line, choice: Evaluate, examples_to: Path | None = None, world: World = ALONE
    ) -> list[Measured]:
        return evaluate(model, choice)

    def save(self, model: Line, folder: Path) -> None:
        save(model, folder)

    def events(self, steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return []
