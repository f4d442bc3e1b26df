"""The model families, and the one place that knows all of them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from collotype.evaluation.results import Results
from collotype.recipe import Recipe
from collotype.recipe.load import parse_source
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


def mine(
    folder: str | Path,
    data: str,
    out: str | Path,
    rules: Mapping[str, Any] | None = None,
    batch: int = 32,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Any]:
    """Hard negatives for `data` by the model in `folder`, written to `out`; counts of what was done.

    Args:
        data: a table, a dataset of the hub, PDFs, or a source as in a recipe: `{source: pairs, path: …}`.
        rules: fields of `retriever.mine.Rules`.

    Raises:
        UserError: the model or the data cannot be read; `out` is there already.
    """
    from collotype.families.retriever import mine as retriever
    from collotype.families.retriever.data import open_source
    from collotype.families.retriever.data.pairs import RefPairs

    pairs = open_source(parse_source(data))
    if not isinstance(pairs, RefPairs):
        raise UserError("Pages that are drawn on demand (sheets) cannot be named in a file of negatives; give a table.")
    model = load(folder).to(pick_device(World()))
    digest = retriever.digest_of_model(Path(folder))
    return retriever.mine(model, digest, pairs, Path(out), retriever.Rules(**rules or {}), batch, progress)


def known(kind: Literal["models", "suites"]) -> list[str]:
    """The names of what the families offer."""
    from collotype.families.retriever.backbones import BACKBONES
    from collotype.families.retriever.benchmarks import SUITES

    return {"models": list(BACKBONES), "suites": list(SUITES)}[kind]
