"""What fewer page vectors cost in quality: each suite encoded once, its pages pooled and searched in several ways."""

from collections.abc import Sequence
from dataclasses import dataclass

from collotype.families.retriever.benchmarks import RetrievalBenchmark
from collotype.families.retriever.cache import Cache
from collotype.families.retriever.evaluate import VectorSearch, evaluate
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.token_pooling import Pooling
from collotype.runtime.errors import UserError

BYTES_PER_NUMBER = 2
"""Vectors are counted as an index stores them, in fp16."""


@dataclass(frozen=True)
class Compressed:
    """One dataset searched over pooled pages (`method` None and factor 1: over the pages as they are)."""

    dataset: str
    method: str | None
    factor: int
    vectors_per_page: float
    """The mean over the suite's pages."""
    bytes_per_page: float
    metrics: dict[str, float]
    headline: str
    difference: float
    """Of the headline metric, from no pooling."""


def compress(
    model: Retriever, benchmarks: Sequence[RetrievalBenchmark], poolings: Sequence[Pooling], cache: Cache | None = None
) -> list[Compressed]:
    """By dataset: no pooling first, then each of `poolings`.

    Args:
        cache: keeps the embeddings; without one each way of pooling encodes the pages again.

    Raises:
        UserError: the model has a single vector a page.
    """
    if model.config.interaction == "single":
        raise UserError(
            "This model has a single vector a page, so there is nothing to pool; give a late-interaction one."
        )
    rows: list[Compressed] = []
    before: dict[str, float] = {}
    search = VectorSearch(model, cache)
    for pooling in (None, *poolings):
        # one search for all: each would take a digest of every weight
        search.pooling, search.vectors_per_page = pooling, []
        for one in evaluate(search, benchmarks, device=model.device):
            value = one.metrics[one.headline]
            count = sum(search.vectors_per_page) / len(search.vectors_per_page)
            rows.append(
                Compressed(
                    one.dataset,
                    pooling.method if pooling else None,
                    pooling.factor if pooling else 1,
                    count,
                    count * model.width * BYTES_PER_NUMBER,
                    one.metrics,
                    one.headline,
                    value - before.setdefault(one.dataset, value),
                )
            )
    return sorted(rows, key=lambda row: list(before).index(row.dataset))
