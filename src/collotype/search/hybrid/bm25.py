"""BM25 over the words of an index: term counts per page, made from the table.

The scores are those of bm25s' method "lucene" (arXiv 2407.03618), of pages on which the words of headings stand several
times. Counts are kept in place of scores, because a score
changes with every page that comes or goes, and a count does not: what is new is counted, the rest is kept.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from collotype.runtime.terms import K1, B, terms
from collotype.search import sidecar
from collotype.search.sidecar import Sidecar
from collotype.search.store import Version, from_lists

if TYPE_CHECKING:
    from scipy.sparse import csr_array

KIND = "counts"
HEADING, LARGER = 4, 1.15
"""How often a heading's word is counted again; words of so many times the height of the page's text are headings."""
MOST = np.iinfo(np.uint16).max


class TermCounts:
    """How often each term stands on each page of one version of a table.

    Args:
        keys: int64 [P], the pages' keys, as the version's catalogue has them.
        counts: of each term on each page, [P, T].
        vocabulary: the terms, T of them.
    """

    def __init__(self, keys: np.ndarray, counts: "csr_array", vocabulary: Sequence[str]):
        self.keys, self.vocabulary = keys, vocabulary
        self.counts = counts
        self.by_term = counts.tocsc()
        self.number_of = {term: number for number, term in enumerate(vocabulary)}
        self.lengths = np.asarray(counts.sum(axis=1, dtype=np.int64)).reshape(-1)

    @cached_property
    def norms(self) -> np.ndarray:
        """What a page's length adds below the line, float32 [P]."""
        average = max(self.lengths.mean(), 1e-9) if len(self.lengths) else 1.0
        return (K1 * (1 - B + B * self.lengths / average)).astype(np.float32)

    def scores(self, query: str) -> np.ndarray:
        """BM25 of every page, float32 [P]; 0 where no term is shared."""
        found = np.zeros(len(self.keys), np.float32)
        for term in terms(query):
            pages, counts = self.with_term(term)
            found[pages] += np.float32(self.rarity(len(pages))) * counts / (counts + self.norms[pages])
        return found

    def most(self, query: str) -> float:
        """What no page's score reaches: that of one with all the query's terms, any number of times."""
        return float(sum(self.rarity(len(self.with_term(term)[0])) for term in terms(query)))

    def with_term(self, term: str) -> tuple[np.ndarray, np.ndarray]:
        """The pages with a term, and how often they have it."""
        if (number := self.number_of.get(term)) is None:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        start, end = self.by_term.indptr[number : number + 2]
        return self.by_term.indices[start:end], self.by_term.data[start:end].astype(np.float32)

    def rarity(self, pages: int) -> float:
        return float(np.log(1 + (len(self.keys) - pages + 0.5) / (pages + 0.5)))


def count(version: Version, folder: Path) -> TermCounts:
    """The counts of a version: pages that the side file has are not read again."""
    from scipy.sparse import csr_array, vstack

    catalogue, old = version.catalogue, sidecar.newest(folder, KIND)
    vocabulary = text_of(old).split("\n") if old and len(old.arrays["terms"]) else []
    places = catalogue.find(old.arrays["keys"]) if old else np.empty(0, int)
    kept = np.flatnonzero(places >= 0)
    new = np.setdiff1d(np.arange(len(catalogue)), places[kept])
    fresh, vocabulary = counted(words_of(version, new), vocabulary)
    rows = [fresh]
    if old and len(kept):
        arrays = [np.asarray(old.arrays[name]) for name in ("counts", "term_of", "starts")]
        before = csr_array(tuple(arrays), shape=(len(old.arrays["keys"]), len(vocabulary)))
        rows = [before[kept], fresh]
    order = np.argsort(np.concatenate([places[kept], new]), kind="stable")
    return TermCounts(catalogue.keys, csr_array(vstack(rows, format="csr"))[order], vocabulary)


def words_of(version: Version, places: np.ndarray) -> list[list[str]]:
    """The terms of some pages, those of headings again."""
    found = []
    for first in range(0, len(places), 256):
        rows = version.take(places[first : first + 256], ["words", "word_boxes"])
        boxes, starts = from_lists(rows["word_boxes"])
        heights = boxes[:, 3].astype(int) - boxes[:, 1]
        for words, start, end in zip(rows["words"].to_pylist(), starts, starts[1:], strict=False):
            headings = " ".join(words[place] for place in np.flatnonzero(are_large(words, heights[start:end])))
            found.append(terms(" ".join(words)) + HEADING * terms(headings))
    return found


def are_large(words: Sequence[str], heights: np.ndarray) -> np.ndarray:
    """Which words are larger than the text, the height that half of the characters are below; bool [words]."""
    if not len(words):
        return np.zeros(0, bool)
    order = np.argsort(heights, kind="stable")
    characters = np.cumsum([len(words[place]) for place in order])
    text = heights[order[np.searchsorted(characters, characters[-1] / 2)]]
    return heights >= LARGER * text if text > 0 else np.zeros(len(words), bool)


def counted(pages: Sequence[Sequence[str]], vocabulary: Sequence[str]) -> "tuple[csr_array, list[str]]":
    """Counts of the pages' terms, and the vocabulary with those that it did not have."""
    from scipy.sparse import csr_array

    number_of = {term: number for number, term in enumerate(vocabulary)}
    counts, term_of, starts = [], [], [0]
    for page in pages:
        for term, often in Counter(page).items():
            term_of.append(number_of.setdefault(term, len(number_of)))
            counts.append(min(often, MOST))
        starts.append(len(term_of))
    data = np.array(counts, np.uint16), np.array(term_of, np.int32), np.array(starts, np.int64)
    return csr_array(data, shape=(len(pages), len(number_of))), list(number_of)


def build(folder: Path, version: Version) -> None:
    """Writes the side file of this version."""
    found = count(version, folder)
    text = np.frombuffer("\n".join(found.vocabulary).encode(errors="replace"), np.uint8)

    def fill(scratch: Path) -> None:
        arrays = {"keys": found.keys, "terms": text, "counts": found.counts.data}
        arrays |= {"term_of": found.counts.indices, "starts": found.counts.indptr}
        for name, array in arrays.items():
            np.save(scratch / f"{name}.npy", array)

    sidecar.write(folder, KIND, version.number, fill)


def text_of(old: Sidecar) -> str:
    return np.asarray(old.arrays["terms"]).tobytes().decode()
