"""Result files that other tools' readers accept: mteb's TaskResult, vidore-benchmark's metrics."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from collotype.evaluation.ranking import EXPONENTIAL
from collotype.evaluation.results import Measured, write_results
from collotype.evaluation.submission import model_meta
from collotype.runtime.files import write_json
from collotype.runtime.hub import parse

DECIMALS = 5
"""As both tools round."""


def write_all(folder: Path, model: str, version: str, measured: Sequence[Measured]) -> None:
    """Everything below `folder`: our own SUITE/DATASET.json, and of retrieval mteb/ and vidore-benchmark/."""
    source, facts = parse(model, "model"), measured[0].facts
    name = source.repository if source else model.strip("./").replace("\\", "/")
    commit = facts.get("hub", {}).get(source.key) if source else None
    revision = commit or facts["model"]["sha256"][:12]
    write_results(folder, [replace(one, facts=one.facts | mteb_of(one, name, revision)) for one in measured])
    write_for_mteb(folder / "mteb", name, revision, measured)
    if any("ndcg_at_5" in one.metrics for one in measured):
        write_for_vidore_benchmark(folder / "vidore-benchmark", name, version, measured)


def write_for_mteb(folder: Path, model: str, revision: str, measured: Sequence[Measured]) -> None:
    """`folder`/results/MODEL/REVISION/TASK.json, one a dataset that mteb knows, and model_meta.json beside them.

    The keys are those of mteb 2's TaskResult (`mteb/results/task_result.py`). `mteb_version` is null: mteb did not make
    these numbers.
    """
    place = folder / "results" / model.replace("/", "__") / revision
    known = [(one, one.task) for one in measured if one.task is not None]
    for one, task in known:
        scores = [
            {
                **rounded(metrics),
                "main_score": round(metrics[one.headline], DECIMALS),
                "hf_subset": subset,
                "languages": [task.languages[subset]],
            }
            for subset, metrics in one.subsets.items()
        ]
        result = {
            "dataset_revision": task.revision,
            "task_name": task.name,
            "mteb_version": None,
            "scores": {task.split: scores},
            "evaluation_time": one.facts["timing"]["total_s"],
            "kg_co2_emissions": None,
        }
        write_json(place / f"{task.name}.json", result)
    if known:
        write_json(place / "model_meta.json", model_meta(model, revision, known[0][0].facts["model"]))


def mteb_of(one: Measured, model: str, revision: str) -> dict[str, Any]:
    """Where its result for mteb is, if there is one."""
    return {"mteb": {"model": model, "revision": revision, "task": one.task.name} if one.task else None}


def write_for_vidore_benchmark(folder: Path, model: str, version: str, measured: Sequence[Measured]) -> None:
    """`folder`/MODEL_metrics.json as vidore-benchmark merges it: {"metadata": …, "metrics": {dataset: {ndcg_at_1: …}}}.

    Without its `naucs_at_*`, of which several metrics share one key there. `vidore_benchmark_version` is null.
    """
    values: dict[str, Any] = {
        "metadata": {
            "timestamp": datetime.now().astimezone().isoformat(timespec="seconds"),
            "vidore_benchmark_version": None,
            "collotype_version": version,
        },
        "metrics": {
            one.dataset: {name: value for name, value in rounded(one.metrics).items() if name != "mrr"}
            for one in measured
            if not one.dataset.endswith("/average")
        },
    }
    write_json(folder / f"{model.replace('/', '_')}_metrics.json", values)


def rounded(metrics: dict[str, float]) -> dict[str, float]:
    """What other tools have, too: all but the exponential gain."""
    return {name: round(value, DECIMALS) for name, value in metrics.items() if not name.endswith(EXPONENTIAL)}
