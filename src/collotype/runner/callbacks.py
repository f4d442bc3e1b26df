"""Events of a run: callbacks, trackers, and the curve of evaluations."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from collotype.evaluation.results import Measured, Results, headline, results_of
from collotype.recipe import Recipe
from collotype.recipe.evaluate import Evaluate
from collotype.report.plan import Plan
from collotype.report.trackers import Tracking
from collotype.runner.result import Run
from collotype.runtime.files import (
    JsonLines,
)
from collotype.runtime.hub import used
from collotype.runtime.world import World
from collotype.training.engine import Hooks
from collotype.training.task import Task


class Callback:
    """What may be told of a run while it goes; silent."""

    def planned(self, recipe: Recipe, folder: Path, plan: Plan) -> None: ...

    def started(self, done: int) -> None: ...

    def stepped(self, row: dict[str, Any]) -> None: ...

    def evaluated(self, step: int, results: Results) -> None: ...

    def evaluating(self, suites: list[str]) -> None: ...

    def finished(self, run: Run) -> None: ...


def hooks_for(task: Task[Any, Any], recipe: Recipe, folder: Path, listener: Callback, tracking: Tracking) -> Hooks:
    """Tells the listener and the trackers of every step, and keeps the curve of evaluations during training."""
    curve = JsonLines(folder / "evaluation" / "curve.jsonl")

    def start(done: int) -> None:
        curve.keep(through_step=done)
        tracking.start(recipe, folder, done)
        listener.started(done)

    def stepped(row: dict[str, Any]) -> None:
        tracking.stepped(row)
        listener.stepped(row)

    def due(step: int) -> list[Evaluate]:
        return [e for e in recipe.evaluate if e.every_steps and step % e.every_steps == 0]

    def evaluate(model: Any, step: int, world: World, version: str) -> Results:
        return results_of(measure(task, model, due(step), world, version=version))

    def evaluated(step: int, results: Results) -> float:
        curve.append({"step": step, "results": results})
        tracking.evaluated(step, results)
        listener.evaluated(step, results)
        first = next(iter(results.values()))
        return first[headline(first)]

    return Hooks(start, stepped, lambda step: bool(due(step)), evaluate, evaluated)


def measure(
    task: Task[Any, Any],
    model: Any,
    choices: Sequence[Evaluate],
    world: World,
    examples_below: Path | None = None,
    version: str = "",
) -> list[Measured]:
    """
    Args:
        version: of the model; datasets' names end in it.
    """
    measured: list[Measured] = []
    for choice in choices:
        examples_to = examples_below / choice.folder / "examples" if examples_below and world.is_main else None
        measured += task.evaluate(model, choice, examples_to, world)
    for one in measured:
        one.facts["hub"] = used()
    return [replace(one, dataset=f"{one.dataset}@{version}") for one in measured] if version else measured
