"""How well an index answers judged queries: each of its parts, what they find together, and a second stage."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from collotype.search import judged
from collotype.search.hybrid import fitting, fusion
from collotype.search.hybrid.fusion import Weights
from collotype.search.hybrid.library import HybridLibrary
from collotype.search.judged import JudgedQuery
from collotype.search.library import IndexLibrary
from collotype.search.pages import PageKey

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
    """What was fitted, or the usual ones where those answer no worse."""


def measure(library: IndexLibrary, queries: Sequence[JudgedQuery]) -> Judged:
    """Each way's nDCG@5 over the judged queries; of a hybrid, weights are fitted, and measured on queries that they
    were not fitted on."""
    asked = [query for query in queries if query.right]
    pages_of = {one.name: library.index.pages_of(one.name) for one in library.documents()}

    def quality(name: str, found: Sequence[Sequence[PageKey]], times: Sequence[float] = ()) -> Quality:
        scores = [judged.ndcg(query, pages, pages_of) for query, pages in zip(asked, found, strict=True)]
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
    equal = quality("reciprocal ranks", [ordered(example, hybrid.usual) for example in examples])
    ways.append(equal)
    if len(asked) < fitting.FEWEST:
        return Judged(queries=len(asked), ways=tuple(ways))
    held_out = quality(f"{fitting.CALIBRATED}, on held-out queries", fitting.held_out(examples))
    better = (
        fitting.fit(examples) if held_out.ndcg_at_5 > equal.ndcg_at_5 else replace(hybrid.usual, fitted_on=len(asked))
    )
    return Judged(queries=len(asked), ways=(*ways, held_out), weights=better)


def ordered(example: fitting.Example, weights: Weights) -> list[PageKey]:
    return [page for page, _ in fusion.fused(example.rankings, weights)]


def timed(library: IndexLibrary, asked: Sequence[JudgedQuery]) -> tuple[list[list[PageKey]], list[float]]:
    """What is found for each query, and the CPU seconds of it."""
    search: Callable = library.search
    found, times = [], []
    for query in asked:
        started = time.process_time()
        hits = search(query.text, K)
        times.append(time.process_time() - started)
        found.append([(hit.document, hit.page) for hit in hits])
    return found, times
