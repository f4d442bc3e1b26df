"""A retrieval benchmark: pages, queries, judgements."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from PIL import Image

from collotype.evaluation.ranking import Qrels
from collotype.evaluation.results import MtebTask
from collotype.training.overlap import Samples

HEADLINE = "ndcg_at_5"
"""The metric most publications report."""
Counting = Literal["mteb", "vidore-benchmark"]
"""Whose way of merging duplicates is followed."""

Event = dict[str, Any]
"""{"kind": name, "count": how many, "note": a sentence}: whatever was merged, left out or not as published."""


@dataclass(frozen=True)
class Pages:
    """Pages to search, numbered from 0; an image is read when it is asked for."""

    ids: Sequence[str]
    image: Callable[[int], Image.Image]
    size: Callable[[int], tuple[int, int]]
    """(width, height) in pixels, without decoding the image."""
    fingerprint: str
    """A digest of all images, in order."""
    text: Callable[[int], str] | None = None
    """The page's text, where the source has one."""
    text_from: str = "their text"
    """Where that text comes from."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class RetrievalBenchmark:
    """Queries over pages, and which pages answer which query; one language subset of a dataset, if it has some."""

    name: str
    """SUITE/DATASET."""
    queries: Mapping[str, str]
    pages: Pages
    qrels: Qrels
    subset: str = "default"
    headline: str = HEADLINE
    """The metric its publication reports."""
    counting: Counting = "mteb"
    events: tuple[Event, ...] = ()
    task: MtebTask | None = None
    published: Mapping[str, int] = field(default_factory=dict)
    """The published numbers of `queries` and `pages`, where there are some."""

    @property
    def num_pages(self) -> int:
        return len(self.pages)

    @cached_property
    def fingerprint(self) -> str:
        facts = [self.pages.fingerprint, list(self.pages.ids), dict(self.queries), {**self.qrels}, self.counting]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def samples(self) -> Samples:
        """Queries with their right pages."""
        ids, place = list(self.queries), {page: number for number, page in enumerate(self.pages.ids)}

        def images(row: int) -> list[Image.Image]:
            right = [page for page, score in self.qrels[ids[row]].items() if score > 0 and page in place]
            return [self.pages.image(place[page]) for page in right]

        return Samples(len(ids), lambda row: self.queries[ids[row]], images)

    def page_scores(self, scores: Sequence[float]) -> dict[str, float]:
        """A query's scores of all pages, in order, by page id.

        vidore-benchmark keeps the best score of pages of one id and starts at 0 for every id but the first page's, so
        that negative scores tie (`vidore_evaluator_qa.py`, `_beir.py`).
        """
        if self.counting == "mteb":
            return dict(zip(self.pages.ids, scores, strict=True))
        best = {self.pages.ids[0]: scores[0]}
        for page, score in zip(self.pages.ids, scores, strict=True):
            best[page] = max(best.get(page, 0.0), score)
        return best


def event(kind: str, count: int, note: str) -> tuple[Event, ...]:
    """One event, or none where there is nothing to count."""
    return ({"kind": kind, "count": count, "note": note},) if count else ()


def differing_sizes(benchmark: RetrievalBenchmark) -> tuple[Event, ...]:
    """An event for each number that is not as published."""
    found = {"queries": len(benchmark.queries), "pages": benchmark.num_pages}
    return tuple(
        {"kind": "size-differs", "count": found[what], "note": f"{found[what]} {what}, published are {number}"}
        for what, number in benchmark.published.items()
        if found[what] != number
    )


def sizes_of(benchmark: RetrievalBenchmark) -> dict[str, Any]:
    """Sizes and digest of a benchmark, as records and result files have them."""
    return {"queries": len(benchmark.queries), "pages": benchmark.num_pages, "sha256": benchmark.fingerprint}
