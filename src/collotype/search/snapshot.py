"""One version of an index for searching: the table's rows with their sidecar files."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np

from collotype.runtime.errors import UserError
from collotype.runtime.threads import Together
from collotype.search import languages, sidecar
from collotype.search.page_cache import Details, PageCache, Stored
from collotype.search.pages import EncodedQuery
from collotype.search.quantization import pack_signs
from collotype.search.scoring import exact, hamming, inverted, ivf, sign_bits
from collotype.search.scoring.plan import PLANS, Explanation, Plan, choose
from collotype.search.store import Version, from_lists

PER_DOCUMENT, ROWS_AT_ONCE = 5, 256
"""Pages of one document among those rescored, where each document is to be found once; pages read at once."""


class IndexSnapshot:
    """What one search sees from beginning to end, whatever writers do meanwhile.

    Pages are named by their place in the version's catalogue.
    """

    scanned: ClassVar[ModuleType] = sign_bits
    """Makes the side file that is read first, `signs`."""

    def __init__(self, version: Version, folder: Path, held: PageCache):
        self.version, self.held = version, held
        self.signs = sidecar.newest(folder, self.scanned.KIND)
        self.lists = sidecar.newest(folder, ivf.KIND)
        self.detected = sidecar.newest(folder, languages.KIND)
        # the other half of the cores is for queries that are being encoded, and for their connections
        self.exact = Together(partial(exact_scores, version, held), at_once=max(1, (os.cpu_count() or 1) // 2))

    @cached_property
    def sign_of(self) -> np.ndarray:
        """Where in the side file of signs each page is, -1 where it is not, int64 [P]."""
        return sidecar.rows_in(self.signs, self.version.catalogue)

    @cached_property
    def listed(self) -> np.ndarray:
        """Where in the token lists each page is, -1 where it is not, int64 [P]."""
        return sidecar.rows_in(self.lists, self.version.catalogue)

    @cached_property
    def languages(self) -> np.ndarray:
        """The language of each page, U3 [P]; empty where it is not known."""
        return languages.of_pages(self.detected, self.version.catalogue)

    @cached_property
    def newer(self) -> np.ndarray:
        """Pages with vectors that the side file of signs does not have, ascending."""
        return np.flatnonzero((self.sign_of < 0) & (self.version.catalogue.counts > 0))

    @property
    def signs_differ(self) -> bool:
        """Does the side file of signs miss pages, or have some that are gone?"""
        gone = self.signs is not None and len(self.signs.arrays["keys"]) > (self.sign_of >= 0).sum()
        return gone or len(self.newer) > 0

    def search(
        self, asked: EncodedQuery, allowed: np.ndarray, k: int, plan: Plan | None, by_document: bool
    ) -> tuple[np.ndarray, np.ndarray, Explanation]:
        """The pages that may be found, the best first, and their exact scores.

        Args:
            allowed: bool [P]; k: how many will be shown (all that were rescored come back).
            by_document: only few pages of a document are rescored, so that there are k documents to show.
        """
        catalogue, query = self.version.catalogue, np.ascontiguousarray(asked.vectors, np.float32)
        places = np.flatnonzero(allowed)
        vectors = int(catalogue.counts[places].sum(dtype=np.int64))
        chosen, why = choose(vectors, query.shape[1], k, self.lists is not None)
        chosen, why = (plan, "asked for") if plan else (chosen, why)
        if chosen.name == "lists" and not self.lists:
            chosen, why = replace(chosen, name="bits"), "token lists were requested, but there are none yet"
        explanation = Explanation(
            plan=chosen.name,
            why=why,
            pages=len(catalogue),
            allowed=len(places),
            newer=len(self.newer),
            table_version=self.version.number,
            signs_version=self.signs.version if self.signs else None,
            lists_version=self.lists.version if self.lists else None,
        )
        if chosen.name != "exact" and len(places) > chosen.rescored:
            with timed(explanation, "candidates"):
                places = self.candidates(query, allowed, chosen, by_document, explanation)
        with timed(explanation, "exact"):
            scores = self.exact((query, places))
        explanation.rescored = len(places)
        order = np.lexsort((places, -scores))
        return places[order], scores[order], explanation

    def candidates(
        self, query: np.ndarray, allowed: np.ndarray, plan: Plan, by_document: bool, explanation: Explanation
    ) -> np.ndarray:
        """The pages that sign bits put first, and all newer ones while they are few."""
        newer = self.newer[allowed[self.newer]]
        few = newer if len(newer) <= plan.rescored else newer[:0]
        pages = np.flatnonzero(allowed & (self.sign_of >= 0))
        if plan.name == "lists":
            pages = self.named(query, pages)
        packed = pack_signs(query)
        apart = np.empty(0, np.int64)
        if len(pages) and self.signs:
            pages = pages[np.argsort(self.sign_of[pages])]
            arrays = self.signs.arrays
            apart = hamming.distances(packed, arrays["signs"], arrays["starts"], self.sign_of[pages])
        if len(newer) > len(few):
            own, starts = self.newer_signs
            pages = np.concatenate([pages, newer])
            apart = np.concatenate([apart, hamming.distances(packed, own, starts, np.flatnonzero(allowed[self.newer]))])
        explanation.scanned = len(pages)
        order = pages[np.lexsort((pages, apart))]
        if by_document:
            order = order[first_of_each(self.version.catalogue.documents[order], PER_DOCUMENT)]
        return np.concatenate([order[: plan.rescored], few])

    def named(self, query: np.ndarray, pages: np.ndarray) -> np.ndarray:
        """Those of some pages that the token lists put first, and those that are not listed yet."""
        listed = pages[self.listed[pages] >= 0]
        count = max(ivf.NAMED_AT_LEAST, int(ivf.NAMED_PART * len(listed)))
        if self.lists is None or len(listed) <= count:
            return pages
        nearness = ivf.near(self.lists, query)[self.listed[listed]]
        first = np.argpartition(-nearness, count)[:count]
        return np.concatenate([listed[first], pages[self.listed[pages] < 0]])

    @property
    def plans(self) -> tuple[str, ...]:
        """Those that it has the files for, the exact one first."""
        return PLANS if self.lists else PLANS[:2]

    @cached_property
    def newer_signs(self) -> tuple[np.ndarray, np.ndarray]:
        """Sign bits of the newer pages, end to end, from the table."""
        bits_of, starts = from_lists(self.version.take(self.newer, ["signs"])["signs"])
        return bits_of, starts

    def pages(self, places: np.ndarray) -> list[Stored]:
        """The vectors of some pages, as they are stored."""
        return self.held.vectors.of(self.version, places)

    def details(self, places: np.ndarray) -> list[Details]:
        """What the index has of some pages beside their vectors."""
        return self.held.details.of(self.version, places)


class SparseSnapshot(IndexSnapshot):
    """Of sparse pages, whose side file is the inverted lists; newer pages have lists in memory."""

    scanned: ClassVar[ModuleType] = inverted

    @cached_property
    def newer_lists(self) -> inverted.Lists:
        return inverted.Lists.of(self.version, self.newer)

    @property
    def plans(self) -> tuple[str, ...]:
        return (inverted.KIND,)

    def search(
        self, asked: EncodedQuery, allowed: np.ndarray, k: int, plan: Plan | None, by_document: bool
    ) -> tuple[np.ndarray, np.ndarray, Explanation]:
        """The allowed pages that have one of the query's tokens, and their scores.

        Raises:
            UserError: a plan is asked for.
        """
        if plan:
            raise UserError(f"The plan {plan.name} works with vectors, but this index is sparse; leave the plan out.")
        explanation = Explanation(
            plan=inverted.KIND,
            why="sparse pages: only the lists of the query's tokens are read",
            pages=len(self.version.catalogue),
            allowed=int(allowed.sum()),
            newer=len(self.newer),
            table_version=self.version.number,
            lists_version=self.signs.version if self.signs else None,
        )
        assert asked.token_ids is not None
        with timed(explanation, "lists"):
            scores = np.where(allowed, self.scores(asked.token_ids, asked.vectors[:, 0]), 0)
        places = np.flatnonzero(scores > 0)
        explanation.rescored = len(places)
        order = places[np.lexsort((places, -scores[places]))]
        return order, scores[order], explanation

    def scores(self, tokens: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """float32 [P]."""
        found = np.zeros(len(self.version.catalogue), np.float32)
        if self.signs:
            listed = np.flatnonzero(self.sign_of >= 0)
            found[listed] = inverted.Lists.read(self.signs).scores(tokens, weights)[self.sign_of[listed]]
        if len(self.newer):
            found[self.newer] = self.newer_lists.scores(tokens, weights)
        return found


def exact_scores(version: Version, held: PageCache, asked: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """For each query and the places of some pages, these pages' exact scores.

    Queries for the same pages are computed together, which takes little more than one: most of it is reading the pages.
    """
    groups: dict[bytes, list[int]] = {}
    for number, (_, places) in enumerate(asked):
        groups.setdefault(places.tobytes(), []).append(number)
    answers: dict[int, np.ndarray] = {}
    for numbers in groups.values():
        queries, places = [asked[number][0] for number in numbers], asked[numbers[0]][1]
        found = np.empty((len(queries), len(places)), np.float32)
        for first in range(0, len(places), ROWS_AT_ONCE):
            cut = slice(first, first + ROWS_AT_ONCE)
            found[:, cut] = exact.scores(queries, held.vectors.of(version, places[cut]))
        answers |= zip(numbers, found, strict=True)
    return [answers[number] for number in range(len(asked))]


def first_of_each(groups: np.ndarray, count: int) -> np.ndarray:
    """The places of the first `count` of each group, in order."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    rank = np.arange(len(groups)) - np.searchsorted(ordered, ordered)
    return np.sort(order[rank < count])


@contextmanager
def timed(explanation: Explanation, stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    explanation.milliseconds[stage] = (time.perf_counter() - started) * 1000
