"""The evaluation suites of retrievers."""

from collections.abc import Callable
from pathlib import Path

from collotype.families.retriever.benchmarks.beir import read_beir
from collotype.families.retriever.benchmarks.benchmark import RetrievalBenchmark
from collotype.families.retriever.benchmarks.qa import read_qa
from collotype.families.retriever.benchmarks.sheets import sheet_benchmarks
from collotype.families.retriever.benchmarks.slides import slide_benchmarks
from collotype.families.retriever.benchmarks.vidore import vidore_benchmarks, vidore_names, vidore_needs
from collotype.families.retriever.recipe import RetrieverEvaluate
from collotype.families.shared.suites import require_suite
from collotype.runtime import hub
from collotype.runtime.errors import UserError
from collotype.runtime.tables import fetch_tables, need_of_tables


def own_data(choice: RetrieverEvaluate) -> list[RetrievalBenchmark]:
    """A dataset in a folder (or, in the qa layout, a file) of the user's, or on the hub."""
    place = Path(choice.path or "")
    if not place.exists() or choice.path is None:
        place = fetch_tables(on_hub(choice), choice.split)
    where = (f"{choice.suite}/{choice.own_name}", place, choice.split, choice.counting)
    return [read_qa(*where)] if choice.suite == "qa" else read_beir(*where)


def on_hub(choice: RetrieverEvaluate) -> hub.Snapshot:
    """
    Raises:
        UserError: no path is named, or there is nothing there and it is not a name of the hub's.
    """
    source = hub.parse(choice.path, "dataset") if choice.path else None
    if source is None:
        raise UserError(
            f"The suite {choice.suite} reads a folder of parquet files, and "
            + (f"there is no {choice.path}; check the path." if choice.path else "none is given; name it with --path.")
        )
    return hub.snapshot(
        source, "put its parquet files into a folder and give that as --path (in a recipe evaluate.path)"
    )


SUITES: dict[str, Callable[[RetrieverEvaluate], list[RetrievalBenchmark]]] = {
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
DRAWN = ("sheets", "slides")
"""Those whose pages are made on demand."""


def find_suite(choice: RetrieverEvaluate) -> list[RetrievalBenchmark]:
    """The benchmarks of a suite: a dataset each, or one of its language subsets.

    Raises:
        UserError: no such suite, or its data is not there.
    """
    require_known(choice)
    return SUITES[choice.suite](choice)


def require_known(choice: RetrieverEvaluate) -> None:
    require_suite(choice, SUITES, "a retriever")


def suite_needs(choice: RetrieverEvaluate) -> list[hub.Need]:
    """What `find_suite` will fetch, if it will."""
    require_known(choice)
    if choice.suite.startswith("vidore-"):
        return vidore_needs(choice)
    if choice.suite not in choice.OF_PATHS or (choice.path and Path(choice.path).exists()):
        return []
    return [need_of_tables(on_hub(choice), choice.split)]


def averaged_names(suite: str) -> list[str]:
    """The datasets whose mean the suite's publication reports; none where it reports none."""
    return vidore_names(suite) if suite.startswith("vidore-") else []


__all__ = ["DRAWN", "SUITES", "RetrievalBenchmark", "averaged_names", "find_suite", "suite_needs"]
