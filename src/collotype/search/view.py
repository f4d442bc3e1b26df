"""One version of an index, ready to be searched: the table's rows, and the side files that go with them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from collotype.search import side
from collotype.search.packing import pack_signs
from collotype.search.scoring import bits, exact, signs
from collotype.search.scoring.plan import EXACT_VECTORS, Explanation, Plan, choose
from collotype.search.store import Version, from_lists, parts

STORED = ("vectors", "scale")
PER_DOCUMENT = 5
"""Pages of one document among those rescored, where each document is to be found once."""


class View:
    """What one search sees from beginning to end, whatever writers do meanwhile.

    Pages are named by their place in the version's catalogue.
    """

    def __init__(self, version: Version, folder: Path):
        self.version = version
        self.signs = side.newest(folder, signs.KIND)

    @cached_property
    def sign_places(self) -> np.ndarray:
        """Which page each of the side file's is, -1 for one that is gone, int64."""
        return self.version.catalogue.find(self.signs.arrays["keys"]) if self.signs else np.empty(0, int)

    @cached_property
    def newer(self) -> np.ndarray:
        """Pages with vectors that the side file does not have, ascending."""
        known = np.zeros(len(self.version.catalogue), bool)
        known[self.sign_places[self.sign_places >= 0]] = True
        return np.flatnonzero(~known & (self.version.catalogue.counts > 0))

    def search(
        self, query: np.ndarray, allowed: np.ndarray, k: int, plan: Plan | None, by_document: bool
    ) -> tuple[np.ndarray, np.ndarray, Explanation]:
        """The pages that may be found, the best first, and their exact scores.

        Args:
            query: float32 [m, D]; allowed: bool [P]; k: how many will be shown (all that were rescored come back).
            by_document: only few pages of a document are rescored, so that there are k documents to show.
        """
        catalogue = self.version.catalogue
        places = np.flatnonzero(allowed)
        chosen, why = choose(int(catalogue.counts[places].sum(dtype=np.int64)), k, False)
        chosen, why = (plan, "asked for") if plan else (chosen, why)
        told = Explanation(
            plan=chosen.name,
            why=why,
            pages=len(catalogue),
            allowed=len(places),
            newer=len(self.newer),
            table_version=self.version.number,
            signs_version=self.signs.version if self.signs else None,
        )
        if chosen.name != "exact" and len(places) > chosen.rescored:
            with timed(told, "candidates"):
                places = self.candidates(query, allowed, chosen, by_document, told)
        with timed(told, "exact"):
            scores = self.exact(query, places)
        told.rescored = len(places)
        order = np.lexsort((places, -scores))
        return places[order], scores[order], told

    def candidates(
        self, query: np.ndarray, allowed: np.ndarray, plan: Plan, by_document: bool, told: Explanation
    ) -> np.ndarray:
        """The pages that sign bits put first, and all newer ones while they are few."""
        newer = self.newer[allowed[self.newer]]
        few = newer if len(newer) <= plan.rescored else newer[:0]
        positions = (
            np.flatnonzero((self.sign_places >= 0) & allowed[np.maximum(self.sign_places, 0)])
            if self.signs
            else newer[:0]
        )
        packed = pack_signs(query)
        found, apart = [self.sign_places[positions]], [np.empty(0, np.int64)]
        if len(positions):
            arrays = self.signs.arrays
            apart = [bits.distances(packed, arrays["signs"], arrays["starts"], positions)]
        if len(newer) > len(few):
            own, starts = self.newer_signs
            among = np.flatnonzero(allowed[self.newer])
            found.append(newer)
            apart.append(bits.distances(packed, own, starts, among))
        pages, apart = np.concatenate(found), np.concatenate(apart)
        told.scanned = len(pages)
        order = pages[np.lexsort((pages, apart))]
        if by_document:
            order = order[first_of_each(self.version.catalogue.documents[order], PER_DOCUMENT)]
        return np.concatenate([order[: plan.rescored], few])

    @cached_property
    def newer_signs(self) -> tuple[np.ndarray, np.ndarray]:
        """Sign bits of the newer pages, end to end, from the table."""
        bits_of, starts = from_lists(self.version.take(self.newer, ["signs"])["signs"])
        return bits_of, starts

    def exact(self, query: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The exact scores of some pages."""
        if self.version.catalogue.counts.sum(dtype=np.int64) <= EXACT_VECTORS:
            vectors, starts, scales = self.all_vectors
            if len(places) == len(scales):
                return exact.scores(query, vectors, starts, scales)
            cuts = [vectors[starts[place] : starts[place + 1]] for place in places]
            ends = np.concatenate([[0], np.cumsum(self.version.catalogue.counts[places], dtype=np.int64)])
            return exact.scores(query, torch.cat([vectors[:0], *cuts]), ends, scales[places])
        found = np.empty(len(places), np.float32)
        for first in range(0, len(places), ROWS_AT_ONCE):
            cut = slice(first, first + ROWS_AT_ONCE)
            found[cut] = exact.scores(query, *self.stored(places[cut]))
        return found

    def stored(self, places: np.ndarray) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
        """Vectors end to end as they are stored, where each page's begin, and what a stored number is worth."""
        rows = self.version.take(places, STORED)
        numbers, width, starts = parts(rows["vectors"])
        # by dlpack: memory that must not be written to has no other way into torch without a copy
        return torch.from_dlpack(numbers).view(-1, width), starts, rows["scale"].to_numpy()

    @cached_property
    def all_vectors(self) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
        """Of a small index, held in memory."""
        return self.stored(np.arange(len(self.version.catalogue)))


ROWS_AT_ONCE = 256


def first_of_each(groups: np.ndarray, count: int) -> np.ndarray:
    """The places of the first `count` of each group, in order."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    rank = np.arange(len(groups)) - np.searchsorted(ordered, ordered)
    return np.sort(order[rank < count])


@contextmanager
def timed(told: Explanation, stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    told.milliseconds[stage] = (time.perf_counter() - started) * 1000
