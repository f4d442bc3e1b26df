"""ViDoRe v1, v2, v3 and v3.1: the published sets, from local copies or from the hub."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from collotype.evaluation.results import MtebTask
from collotype.families.retriever.benchmarks.beir import read_beir
from collotype.families.retriever.benchmarks.benchmark import Counting, RetrievalBenchmark
from collotype.families.retriever.benchmarks.qa import read_qa
from collotype.families.retriever.recipe import RetrieverEvaluate
from collotype.runtime import hub
from collotype.runtime.errors import UserError
from collotype.runtime.tables import fetch_tables, need_of_tables

TABLE = Path(__file__).parents[3] / "assets" / "vidore.yaml"


@cache
def published() -> dict[str, dict[str, Any]]:
    """What is known of each suite: headline, languages, datasets."""
    suites: dict[str, dict[str, Any]] = yaml.safe_load(TABLE.read_text())
    return suites


def vidore_names(suite: str) -> list[str]:
    """SUITE/DATASET of all of the suite's datasets."""
    return [f"{suite}/{dataset}" for dataset in published()[suite]["datasets"]]


def vidore_benchmarks(choice: RetrieverEvaluate) -> list[RetrievalBenchmark]:
    """The chosen suite's datasets (those of `choice.only`, if it names some).

    Raises:
        UserError: no such dataset, no copy of one in `choice.data_dir`, or the hub cannot be reached.
    """
    suite = published()[choice.suite]
    require_known(choice)
    found: list[RetrievalBenchmark] = []
    for dataset in choice.only or suite["datasets"]:
        facts = suite["datasets"][dataset]
        layout, folder = find_folder(facts, choice)
        languages = facts.get("languages") or suite["languages"]
        sizes = {what: facts[what] for what in ("queries", "pages")} if choice.counting == "mteb" else {}
        common = {
            "name": f"{choice.suite}/{dataset}",
            "folder": folder,
            "split": choice.split,
            "counting": choice.counting,
            "headline": suite["headline"],
            "task": MtebTask(facts["task"], facts["revision"], choice.split, languages),
            "published": sizes,
        }
        found += [read_qa(**common)] if layout == "qa" else read_beir(**common)
    return found


def require_known(choice: RetrieverEvaluate) -> None:
    datasets = published()[choice.suite]["datasets"]
    for name in choice.only:
        if name not in datasets:
            raise UserError(f"{choice.suite} has no dataset {name!r}; it has {', '.join(datasets)}.")


def find_folder(facts: Mapping[str, Any], choice: RetrieverEvaluate) -> tuple[str, Path]:
    """The layout and the folder of a dataset: below `choice.data_dir` if there is one, else fetched from the hub."""
    layouts = preferred(facts, choice.counting)
    if choice.data_dir is None:
        return layouts[0], fetch_tables(on_hub(facts, layouts[0]), choice.split)
    for layout in layouts:
        repository = facts[layout]
        for folder in (Path(choice.data_dir) / repository, Path(choice.data_dir) / repository.split("/")[1]):
            if folder.is_dir():
                return layout, folder
    wanted = " or ".join(facts[layout].split("/")[1] for layout in layouts)
    raise UserError(
        f"{choice.data_dir} has no folder {wanted}; put a copy of the parquet files of https://huggingface.co/datasets/"
        f"{facts[layouts[0]]} there, or leave sets out with --only."
    )


def on_hub(facts: Mapping[str, Any], layout: str) -> hub.Snapshot:
    """The dataset at the revision that mteb pins, which is of its own copies."""
    repository = facts[layout]
    below = f"DIR/{repository.split('/')[1]}"
    instead = f"put its parquet files into {below} and give --data-dir DIR (in a recipe evaluate.data_dir)"
    source = hub.HubSource("dataset", repository, facts["revision"] if layout == "beir" else None)
    return hub.snapshot(source, instead)


def vidore_needs(choice: RetrieverEvaluate) -> list[hub.Need]:
    """What the hub will be asked for, if it will."""
    require_known(choice)
    if choice.data_dir is not None:
        return []
    datasets = published()[choice.suite]["datasets"]
    found = [on_hub(datasets[name], preferred(datasets[name], choice.counting)[0]) for name in choice.only or datasets]
    return [need_of_tables(one, choice.split) for one in found]


def preferred(facts: Mapping[str, Any], counting: Counting) -> list[str]:
    """The layouts a dataset is published in; vidore-benchmark counts from the rows of the qa layout, where it can."""
    layouts = [layout for layout in ("beir", "qa") if layout in facts]
    return ["qa"] if counting == "vidore-benchmark" and "qa" in layouts else layouts
