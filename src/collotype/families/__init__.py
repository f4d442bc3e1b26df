"""The model families, and the one place that knows all of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from collotype.evaluation.results import Measured
from collotype.recipe import Recipe
from collotype.recipe.schema import Evaluate
from collotype.runtime.device import pick_device
from collotype.runtime.errors import UserError
from collotype.runtime.process import World, process_group
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


BM25 = "bm25"
"""The name by which the baseline is evaluated in a model's place."""


def evaluate(
    models: Sequence[str | Path], choice: Evaluate, cache: Path | None = None, batch_tokens: int | None = None
) -> dict[str, list[Measured]]:
    """The models in these folders (BM25 for its name), measured on a suite; a launcher's processes share the work.

    Args:
        cache: a folder that keeps embeddings and read texts; none keeps nothing.
        batch_tokens: tokens of a forward pass, padding included; none takes the default.

    Returns:
        by model as it was named; the same on every process.

    Raises:
        UserError: no such model or suite.
    """
    from collotype.families.retriever.batches import BATCH_TOKENS
    from collotype.families.retriever.benchmarks import find_suite
    from collotype.families.retriever.bm25 import Bm25
    from collotype.families.retriever.cache import Cache
    from collotype.families.retriever.evaluate import VectorSearch
    from collotype.families.retriever.evaluate import evaluate as evaluate_retriever

    world = World.from_environment()
    device, benchmarks = pick_device(world), find_suite(choice)
    measured = {}
    with process_group(world, device):
        for model in map(str, models):
            if model == BM25:
                searcher = Bm25(Cache(cache))
            else:
                searcher = VectorSearch(load(model).to(device), Cache(cache), batch_tokens or BATCH_TOKENS)
            measured[model] = evaluate_retriever(searcher, benchmarks, world=world, device=device)
    return measured


def default_cache() -> Path:
    """Where embeddings are kept if nothing else is said."""
    from collotype.families.retriever import cache

    return cache.default_cache()


def known(kind: Literal["models", "suites"]) -> list[str]:
    """The names of what the families offer."""
    from collotype.families.retriever.backbones import BACKBONES
    from collotype.families.retriever.benchmarks import SUITES

    return {"models": list(BACKBONES), "suites": list(SUITES)}[kind]
