"""What a retriever is evaluated on, suite by suite."""

from collections.abc import Callable
from pathlib import Path

from collotype.families.retriever.benchmarks.beir import read_beir
from collotype.families.retriever.benchmarks.benchmark import Benchmark
from collotype.families.retriever.benchmarks.qa import read_qa
from collotype.families.retriever.benchmarks.sheets import sheet_benchmarks
from collotype.families.retriever.benchmarks.slides import slide_benchmarks
from collotype.families.retriever.benchmarks.vidore import vidore_benchmarks, vidore_names
from collotype.recipe.retriever import RetrieverEvaluate
from collotype.runtime.errors import UserError


def own_data(choice: RetrieverEvaluate) -> list[Benchmark]:
    """A dataset in a folder (or, in the qa layout, a file) of the user's."""
    place = Path(choice.path or "")
    if choice.path is None or not place.exists():
        raise UserError(
            f"The suite {choice.suite} reads a folder of parquet files, and "
            + (f"there is no {choice.path}; check the path." if choice.path else "none is given; name it with --path.")
        )
    where = (f"{choice.suite}/{choice.own_name}", place, choice.split, choice.counting)
    return [read_qa(*where)] if choice.suite == "qa" else read_beir(*where)


SUITES: dict[str, Callable[[RetrieverEvaluate], list[Benchmark]]] = {
    "sheets": lambda choice: sheet_benchmarks(),
    "slides": lambda choice: slide_benchmarks(),
    "vidore-v1": vidore_benchmarks,
    "vidore-v2": vidore_benchmarks,
    "vidore-v3": vidore_benchmarks,
    "vidore-v3.1": vidore_benchmarks,
    "qa": own_data,
    "beir": own_data,
}
"""Suites by name."""


def find_suite(choice: RetrieverEvaluate) -> list[Benchmark]:
    """The benchmarks of a suite: a dataset each, or one of its language subsets.

    Raises:
        UserError: no such suite, or its data is not there.
    """
    if choice.suite not in SUITES:
        raise UserError(f"No suite {choice.suite!r}; a retriever can be evaluated on {', '.join(SUITES)}.")
    return SUITES[choice.suite](choice)


def averaged_names(suite: str) -> list[str]:
    """The datasets whose mean the suite's publication reports; none where it reports none."""
    return vidore_names(suite) if suite.startswith("vidore-") else []


__all__ = ["SUITES", "Benchmark", "averaged_names", "find_suite"]
