"""The model families, and the one place that knows all of them."""

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


def evaluate(source: str | Path, suite: str, preset: str | None = None, base: str | None = None) -> Results:
    """Metrics by dataset of the model in `source` on a suite, computed on this process's device.

    Raises:
        UserError: no such model or suite.
    """
    from collotype.families.retriever.benchmarks import find_suite
    from collotype.families.retriever.evaluate import evaluate as evaluate_retriever

    benchmarks, model = find_suite(suite), load(source, preset, base)
    return evaluate_retriever(model.to(pick_device(World())), benchmarks)


def known(kind: Literal["models", "presets", "suites"]) -> list[str]:
    """The names of what the families offer."""
    from collotype.families.retriever.backbones import BACKBONES
    from collotype.families.retriever.benchmarks import SUITES
    from collotype.families.retriever.preset import PRESETS

    return {"models": list(BACKBONES), "presets": list(PRESETS), "suites": list(SUITES)}[kind]
