"""The model families, and the one place that knows all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from collotype.evaluation.results import Measured
from collotype.recipe import Recipe
from collotype.recipe.load import parse_source
from collotype.recipe.schema import Evaluate
from collotype.runtime.device import pick_device
from collotype.runtime.errors import UserError
from collotype.runtime.process import World, process_group
from collotype.training.task import Task


def task_for(recipe: Recipe) -> Task:
    """The family's task for a recipe."""
    from collotype.families.retriever.task import RetrieverTask

    return {"retriever": RetrieverTask}[recipe.family](recipe)


def load(source: str | Path, preset: str | None = None, base: str | None = None) -> Any:
    """The model in a folder, or in a repository of the hub, ready to use, on the CPU in float32.

    Args:
        source: our own folder, or a retriever in the layout of transformers, sentence-transformers or colpali-engine.
        preset: the preset a retriever was trained with, where its folder does not say.
        base: where the base of an adapter lies, if not where the adapter says.

    Raises:
        UserError: there is none, it is of no family that is known, weights are missing or left over.
    """
    from collotype.families.retriever.layouts import read

    return read(source, preset, base).model()


def export(
    source: str | Path, layout: str, out: str | Path, preset: str | None = None, base: str | None = None
) -> None:
    """Writes the model in `source` in another library's layout into the new folder `out`, with a model card.

    Args:
        layout: transformers, sentence-transformers, engine or engine-adapter.

    Raises:
        UserError: no such model or layout, a layout that cannot express the model, or `out` is there.
    """
    from collotype.families.retriever.card import find_record, write_card
    from collotype.families.retriever.layouts import export as export_retriever

    if Path(out).exists():
        raise UserError(f"{out} is there already; choose another folder with --out.")
    model, record = load(source, preset, base), find_record(Path(source))
    card = write_card(record.get("recipe", {}).get("name", Path(source).name), model.config, layout, record)
    export_retriever(model, layout, Path(out), card)


BM25 = "bm25"
"""The name by which the baseline is evaluated in a model's place."""


def evaluate(
    models: Sequence[str | Path],
    choice: Evaluate,
    cache: Path | None = None,
    batch_tokens: int | None = None,
    preset: str | None = None,
    base: str | None = None,
) -> dict[str, list[Measured]]:
    """The models in these folders (BM25 for its name), measured on a suite; a launcher's processes share the work.

    Args:
        cache: a folder that keeps embeddings and read texts; none keeps nothing.
        batch_tokens: tokens of a forward pass, padding included; none takes the default.
        preset, base: as `load` takes them, for all of the models.

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
                searcher = VectorSearch(
                    load(model, preset, base).to(device), Cache(cache), batch_tokens or BATCH_TOKENS
                )
            measured[model] = evaluate_retriever(searcher, benchmarks, world=world, device=device)
    return measured


def mine(
    source: str | Path,
    data: str,
    out: str | Path,
    rules: Mapping[str, Any] | None = None,
    batch_tokens: int | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    preset: str | None = None,
    base: str | None = None,
) -> dict[str, Any]:
    """Hard negatives for `data` by the model in `source`, written to `out`; counts of what was done.

    Args:
        data: a table, a dataset of the hub, PDFs, or a source as in a recipe: `{source: pairs, path: …}`.
        rules: fields of `retriever.mine.Rules`.

    Raises:
        UserError: the model or the data cannot be read; `out` is there already.
    """
    from collotype.families.retriever import mine as retriever
    from collotype.families.retriever.batches import BATCH_TOKENS
    from collotype.families.retriever.data import open_source
    from collotype.families.retriever.data.pairs import RefPairs

    pairs = open_source(parse_source(data))
    if not isinstance(pairs, RefPairs):
        raise UserError("Pages that are drawn on demand (sheets) cannot be named in a file of negatives; give a table.")
    model = load(source, preset, base).to(pick_device(World()))
    return retriever.mine(
        model, pairs, Path(out), retriever.Rules(**rules or {}), batch_tokens or BATCH_TOKENS, progress
    )


def compress(
    source: str | Path,
    choice: Evaluate,
    factors: Sequence[int],
    methods: Sequence[str],
    cache: Path | None = None,
    preset: str | None = None,
    base: str | None = None,
) -> list[dict[str, Any]]:
    """Size and quality of the page vectors of the model in `source` under token pooling: `Compressed` as dicts.

    Raises:
        UserError: no such model, suite or method, a factor below 1, or a model of one vector a page.
    """
    from collotype.families.retriever.benchmarks import find_suite
    from collotype.families.retriever.cache import Cache
    from collotype.families.retriever.compress import compress as compress_retriever
    from collotype.families.retriever.token_pooling import Pooling

    poolings = [Pooling(factor=factor, method=method) for method in methods for factor in factors]
    benchmarks, model = find_suite(choice), load(source, preset, base)
    rows = compress_retriever(model.to(pick_device(World())), benchmarks, poolings, Cache(cache))
    return [asdict(row) for row in rows]


def known(kind: Literal["models", "presets", "suites"]) -> list[str]:
    """The names of what the families offer."""
    from collotype.families.retriever.backbones import BACKBONES
    from collotype.families.retriever.benchmarks import SUITES
    from collotype.families.retriever.preset import PRESETS

    return {"models": list(BACKBONES), "presets": list(PRESETS), "suites": list(SUITES)}[kind]
