"""The model families, and the one place that knows all of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from collotype.evaluation.results import Results
from collotype.recipe import Recipe
from collotype.runtime.device import pick_device
from collotype.runtime.errors import UserError
from collotype.runtime.process import World
from collotype.training.task import Task


def task_for(recipe: Recipe) -> Task:
    """The family's task for a recipe."""
    from collotype.families.retriever.task import RetrieverTask

    return {"retriever": RetrieverTask}[recipe.family](recipe)


def load(folder: str | Path) -> Any:
    """The model in `folder`, ready to use, on the CPU in float32.

    Raises:
        UserError: there is no such folder, or it holds no model of a family that is known.
    """
    from collotype.families.retriever import checkpoint as retriever

    description = Path(folder) / "collotype.json"
    if not description.is_file():
        raise UserError(
            f"{folder} holds no collotype model (no collotype.json in it); give the `model` folder of a run, "
            "for example runs/desk-colpali/model."
        )
    try:
        family = json.loads(description.read_text())["family"]
        read = {"retriever": retriever.load}[family]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{description} does not describe a model of a known family: {error!r}.") from error
    return read(Path(folder))


def evaluate(folder: str | Path, suite: str) -> Results:
    """Metrics by dataset of the model in `folder` on a suite, computed on this process's device.

    Raises:
        UserError: no such model or suite.
    """
    from collotype.families.retriever.benchmarks import find_suite
    from collotype.families.retriever.evaluate import evaluate as evaluate_retriever

    benchmarks, model = find_suite(suite), load(folder)
    return evaluate_retriever(model.to(pick_device(World())), benchmarks)


def compress(folder: str | Path, suite: str, factors: Sequence[int], methods: Sequence[str]) -> list[dict[str, Any]]:
    """Size and quality of the page vectors of the model in `folder` under token pooling: `Compressed` as dicts.

    Raises:
        UserError: no such model, suite or method, a factor below 1, or a model of one vector a page.
    """
    from collotype.families.retriever.benchmarks import find_suite
    from collotype.families.retriever.compress import compress as compress_retriever
    from collotype.families.retriever.token_pooling import Pooling

    poolings = [Pooling(factor=factor, method=method) for method in methods for factor in factors]
    benchmarks, model = find_suite(suite), load(folder)
    rows = compress_retriever(model.to(pick_device(World())), benchmarks, poolings)
    return [asdict(row) for row in rows]


def known(kind: Literal["models", "suites"]) -> list[str]:
    """The names of what the families offer."""
    from collotype.families.retriever.backbones import BACKBONES
    from collotype.families.retriever.benchmarks import SUITES

    return {"models": list(BACKBONES), "suites": list(SUITES)}[kind]
