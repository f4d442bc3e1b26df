"""What fewer page vectors cost in quality: each benchmark encoded once, pooled and searched in several ways."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from collotype.evaluation.results import HEADLINE
from collotype.families.retriever.benchmarks import Benchmark
from collotype.families.retriever.evaluate import encode_pages, search
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.token_pooling import Pooling
from collotype.runtime.errors import UserError

BYTES_PER_NUMBER = 2
"""Vectors are counted as an index stores them, in fp16."""


@dataclass(frozen=True)
class Compressed:
    """One benchmark searched over pooled pages (`method` None and factor 1: over the pages as they are)."""

    dataset: str
    method: str | None
    factor: int
    vectors_per_page: float
    bytes_per_page: float
    metrics: dict[str, float]
    difference: float
    """Of the headline metric, from no pooling."""


def compress(model: Retriever, benchmarks: Sequence[Benchmark], poolings: Sequence[Pooling]) -> list[Compressed]:
    """By benchmark: no pooling first, then each of `poolings`.

    Raises:
        UserError: the model has a single vector a page.
    """
    if model.config.interaction == "single":
        raise UserError(
            "This model has a single vector a page, so there is nothing to pool; give a late-interaction one."
        )
    return [row for benchmark in benchmarks for row in compress_one(model, benchmark, poolings)]


def compress_one(model: Retriever, benchmark: Benchmark, poolings: Sequence[Pooling]) -> list[Compressed]:
    query_vectors = model.encode_queries(list(benchmark.queries.values()))
    page_vectors = encode_pages(model, benchmark)

    def measure(pages: list[Tensor], method: str | None, factor: int, before: float | None) -> Compressed:
        metrics = search(model, benchmark, query_vectors, pages).metrics
        count = sum(map(len, pages)) / len(pages)
        size = count * pages[0].shape[1] * BYTES_PER_NUMBER
        difference = 0.0 if before is None else metrics[HEADLINE] - before
        return Compressed(benchmark.name, method, factor, count, size, metrics, difference)

    whole = measure(page_vectors, None, 1, None)
    before = whole.metrics[HEADLINE]
    return [whole, *(measure(pool(page_vectors), pool.method, pool.factor, before) for pool in poolings)]
