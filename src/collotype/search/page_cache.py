"""A memory cache of the most recently used pages."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from collotype.search.pages import PageFacts, Word
from collotype.search.quantization import unpack_boxes
from collotype.search.store import Version, from_lists

T = TypeVar("T")

VECTORS_BYTES, DETAILS_PAGES = 192 * 2**20, 512
"""Some 750 pages of 1,030 × 128 in fp16; hits' details are some 40 KB a page."""

Stored = tuple[np.ndarray, float]
"""A page's vectors as they are stored [n, D], and what a stored number is worth."""


class Details(NamedTuple):
    """What the index has of a page beside its vectors; all but its facts and words as in EncodedPage."""

    facts: PageFacts
    word_boxes: np.ndarray
    """Float32 [w, 4]."""
    boxes: np.ndarray
    vector_of: np.ndarray | None
    token_ids: np.ndarray | None


class LruPages(Generic[T]):
    """One thing of each page, by key, so that it stays true when pages are added, written again or deleted.

    Args:
        read: from the table, for some places of a version's catalogue.
        cost: of one page's, in the unit of `limit`.
    """

    def __init__(self, read: Callable[[Version, np.ndarray], list[T]], cost: Callable[[T], int], limit: int):
        self.read, self.cost, self.limit = read, cost, limit
        self._pages: OrderedDict[int, T] = OrderedDict()
        self._total = 0
        self._turn = threading.Lock()

    def of(self, version: Version, places: np.ndarray) -> list[T]:
        """Of the pages at these places of a version's catalogue, read where it is not kept."""
        keys = version.catalogue.keys[places].tolist()
        found: dict[int, T] = {}
        with self._turn:
            for key in keys:
                if key in self._pages:
                    self._pages.move_to_end(key)
                    found[key] = self._pages[key]
        missing = np.array([place for place, key in zip(places, keys, strict=True) if key not in found], int)
        if len(missing):
            read = dict(zip(version.catalogue.keys[missing].tolist(), self.read(version, missing), strict=True))
            self._keep(read)
            found |= read
        return [found[key] for key in keys]

    def _keep(self, pages: dict[int, T]) -> None:
        with self._turn:
            for key, page in pages.items():
                if key not in self._pages:
                    self._pages[key] = page
                    self._total += self.cost(page)
            while self._total > self.limit:
                self._total -= self.cost(self._pages.popitem(last=False)[1])


class PageCache:
    """What one index keeps, whichever of its versions are looked at."""

    def __init__(self) -> None:
        self.vectors = LruPages(read_vectors, lambda page: page[0].nbytes, VECTORS_BYTES)
        self.details = LruPages(read_details, lambda _: 1, DETAILS_PAGES)


def read_vectors(version: Version, places: np.ndarray) -> list[Stored]:
    """Each page's in memory of its own."""
    rows = version.take(places, ["vectors", "scale"])
    vectors, starts = from_lists(rows["vectors"])
    scales = rows["scale"].to_pylist()
    return [(vectors[low:high].copy(), scale) for low, high, scale in zip(starts, starts[1:], scales, strict=False)]


def read_details(version: Version, places: np.ndarray) -> list[Details]:
    light = ["document", "page", "digest", "width", "height", "metadata", "label", "words_from", "words"]
    rows = version.take(places, [*light, "word_boxes", "boxes", "vector_of", "token_ids"])
    (boxes, starts), (word_boxes, words) = (from_lists(rows[name]) for name in ("boxes", "word_boxes"))
    found = []
    for place, row in enumerate(rows.select(light).to_pylist()):
        of_words = unpack_boxes(word_boxes[words[place] : words[place + 1]])
        facts = PageFacts(
            document=row["document"],
            number=row["page"],
            digest=row["digest"],
            size=(row["width"], row["height"]),
            metadata=json.loads(row["metadata"]),
            label=row["label"] or "",
            words_from=row["words_from"] or "",
            words=tuple(Word(text, tuple(box)) for text, box in zip(row["words"], of_words.tolist(), strict=True)),
        )
        own = (rows[name][place].values for name in ("vector_of", "token_ids"))
        numbers = (None if one is None else one.to_numpy() for one in own)
        found.append(Details(facts, of_words, unpack_boxes(boxes[starts[place] : starts[place + 1]]), *numbers))
    return found
