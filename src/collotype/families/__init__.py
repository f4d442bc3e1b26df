"""The model families, and the one place that knows all of them."""

import json
from pathlib import Path
from typing import Any

from collotype.recipe import Recipe
from collotype.runtime.errors import UserError
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


def evaluate(folder: str | Path, suite: str) -> dict[str, dict[str, float]]:
    """Metrics by dataset of the model in `folder` on a suite.

    Raises:
        UserError: no such model or suite.
    """
    from collotype.families.retriever.data import SUITES
    from collotype.families.retriever.evaluate import evaluate as evaluate_retriever

    if suite not in SUITES:
        raise UserError(f"No suite {suite!r}; a retriever can be evaluated on {', '.join(SUITES)}.")
    return evaluate_retriever(load(folder), SUITES[suite](None))
