"""Metrics of each query, and bootstrap intervals of a result or of a difference of two."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from collotype.runtime.files import write_text

METRICS = ("ndcg_at_5", "ndcg_at_10", "recall_at_5", "mrr")
"""What is kept of a query: what tables show."""
RESAMPLES, SEED, LEVEL = 1000, 0, 0.95
DECIMALS = 6

PerQuery = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Language subset -> query id -> metric -> value."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class DatasetQueries:
    """What was kept of a dataset; values can be paired where the data are the same."""

    data: Any
    """Sizes and digests by subset."""
    values: PerQuery


def bootstrap(values: Mapping[str, Mapping[str, float]]) -> Interval:
    """The interval of the mean over subsets of the mean over queries, by the percentiles of 1,000 resamples.

    A query that stands in several subsets is drawn in all of them at once: its translations are one question.

    Args:
        values: of each query, by subset; of a paired difference, the differences.
    """
    subsets_of: dict[str, list[str]] = {}
    for subset, found in values.items():
        for query in found:
            subsets_of.setdefault(query, []).append(subset)
    shares: dict[tuple[str, ...], list[float]] = {}
    for query, subsets in subsets_of.items():
        share = sum(values[subset][query] / len(values[subset]) for subset in subsets) / len(values)
        shares.setdefault(tuple(subsets), []).append(share)
    random, means = np.random.default_rng(SEED), np.zeros(RESAMPLES)
    for stratum in map(np.array, shares.values()):
        means += [stratum[random.integers(len(stratum), size=len(stratum))].sum() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def of_metric(found: PerQuery, metric: str) -> dict[str, dict[str, float]]:
    return {subset: {query: of[metric] for query, of in values.items()} for subset, values in found.items()}


def intervals(found: PerQuery) -> dict[str, Any]:
    """Of each metric that is kept, as result files have them."""
    metrics = {metric: bootstrap(of_metric(found, metric)) for metric in METRICS}
    return {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED, "metrics": metrics}


def difference(one: DatasetQueries, other: DatasetQueries, metric: str) -> Interval | None:
    """The interval of `other` less `one`, query by query; none where they did not answer the same queries."""
    same = one.data == other.data and {s: set(v) for s, v in one.values.items()} == {
        s: set(v) for s, v in other.values.items()
    }
    if not same or metric not in METRICS:
        return None
    left, right = of_metric(one.values, metric), of_metric(other.values, metric)
    return bootstrap({s: {query: right[s][query] - value for query, value in left[s].items()} for s in left})


def write(folder: Path, dataset: str, found: PerQuery) -> None:
    """`folder`/SUITE/DATASET.queries.csv, a row a query."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    rows.writerow(["subset", "query", *METRICS])
    for subset, values in found.items():
        for query, of in values.items():
            rows.writerow([subset, query, *(round(of[metric], DECIMALS) for metric in METRICS)])
    write_text(folder / f"{dataset}.queries.csv", text.getvalue())


def read(folder: Path, dataset: str) -> DatasetQueries | None:
    """What `write` wrote; none where nothing was."""
    file = folder / f"{dataset}.queries.csv"
    if not file.is_file():
        return None
    found: dict[str, dict[str, dict[str, float]]] = {}
    with file.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            values = {metric: float(row[metric]) for metric in METRICS}
            found.setdefault(row["subset"], {})[row["query"]] = values
    return DatasetQueries(json.loads((folder / f"{dataset}.json").read_text(encoding="utf-8"))["data"], found)
