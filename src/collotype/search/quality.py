"""Retrieval quality on judged queries: of each part of an index, of the fusion, and of a second stage."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from collotype.search import judgments
from collotype.search.hybrid import fitting, fusion
from collotype.search.hybrid.fusion import Weights
from collotype.search.hybrid.library import HybridLibrary
from collotype.search.judgments import JudgedQuery
from collotype.search.library import IndexLibrary
from collotype.search.pages import Hit, PageKey

K = 10


@dataclass(frozen=True, kw_only=True)
class Quality:
    """One way of answering."""

    name: str
    ndcg_at_5: float
    cpu_ms_p50: float | None
    """Of a query, encoding it included; None where it was not asked by itself."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    queries: int
    """That are judged."""
    ways: tuple[Quality, ...]
    weights: Weights | None = None
    """What was fitted, or what answers no worse without."""


def measure(library: IndexLibrary, queries: Sequence[JudgedQuery]) -> Judged:
    """Each way's nDCG@5 over the judged queries; of a hybrid, weights are fitted, and measured on queries that they
    were not fitted on."""
    asked = [query for query in queries if query.right]
    pages_of = {one.name: library.index.pages_of(one.name) for one in library.documents()}

    def quality(name: str, found: Sequence[Sequence[PageKey]], times: Sequence[float] = ()) -> Quality:
        scores = [judgments.ndcg(query, pages, pages_of) for query, pages in zip(asked, found, strict=True)]
        took = float(np.median(times)) * 1000 if times else None
        return Quality(name=name, ndcg_at_5=float(np.mean(scores)), cpu_ms_p50=took)

    ways = [quality("as it is searched", *timed(library, asked))]
    first = getattr(library, "library", None)
    if first is not None:
        ways.append(quality("the first stage alone", *timed(first, asked)))
    hybrid = first or library
    if not isinstance(hybrid, HybridLibrary):
        return Judged(queries=len(asked), ways=tuple(ways))
    examples = [fitting.Example(query, hybrid.rankings(query.text, hybrid.asked(query.text), K)[0]) for query in asked]
    for name in dict.fromkeys(one.name for example in examples for one in example.rankings):
        ways.append(quality(f"{name} alone", [example.pages_of(name) for example in examples]))
    unfitted = [hybrid.usual, replace(hybrid.usual, method=fusion.BY_RANKS)]
    together = [quality(one.method, [ordered(example, one) for example in examples]) for one in unfitted]
    if len(asked) < fitting.FEWEST:
        return Judged(queries=len(asked), ways=(*ways, *together))
    fitted = quality(f"{fusion.CALIBRATED}, fitted, on held-out queries", fitting.held_out(examples, hybrid.usual))
    weights = [*(replace(one, fitted_on=len(asked)) for one in unfitted), fitting.fit(examples, hybrid.usual)]
    # of equal ones the first
    best = max(range(3), key=lambda place: [*together, fitted][place].ndcg_at_5)
    return Judged(queries=len(asked), ways=(*ways, *together, fitted), weights=weights[best])


def ordered(example: fitting.Example, weights: Weights) -> list[PageKey]:
    return [page for page, _ in fusion.fused(example.rankings, weights)]


def timed(library: IndexLibrary, asked: Sequence[JudgedQuery]) -> tuple[list[list[PageKey]], list[float]]:
    """What is found for each query, and the CPU seconds of it."""
    search: Callable[..., list[Hit]] = library.search
    found, times = [], []
    for query in asked:
        started = time.process_time()
        hits = search(query.text, K)
        times.append(time.process_time() - started)
        found.append([(hit.document, hit.page) for hit in hits])
    return found, times
