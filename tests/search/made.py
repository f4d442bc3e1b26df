"""Small pages and queries, and processes that write and read an index at once."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from collotype.search.index import Index
from collotype.search.pages import EncodedPage, EncodedQuery, Page, Word

DIM = 16
DESCRIBED = {"encoder_name": "a test", "identity": "0123456789abcdef", "dim": DIM, "interaction": "late"}


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def page(
    document: str = "a.pdf", number: int = 1, *, seed: int = 0, count: int = 5, words: Sequence[Word] = (), **metadata
) -> tuple[Page, EncodedPage]:
    """A page with `count` random vectors, each with a box of its own: [0, place / count, 1, (place + 1) / count]."""
    random = np.random.default_rng([seed, number, *document.encode()])
    tops = np.arange(count) / max(count, 1)
    boxes = np.stack([tops * 0, tops, tops * 0 + 1, tops + 1 / max(count, 1)], axis=1).astype(np.float32)
    encoded = EncodedPage(unit(random.standard_normal((count, DIM))), boxes)
    made = Page(
        document=document,
        number=number,
        digest=f"{seed}",
        size=(600, 800),
        picture=lambda: None,
        words=words,
        metadata=metadata,
    )
    return made, encoded


def query_of(
    encoded: EncodedPage, rows: Sequence[int] = (0, 1), words: Sequence[str] = ("some", "words")
) -> EncodedQuery:
    return EncodedQuery(encoded.vectors[list(rows)], tuple(words), tuple(range(len(rows))))


def write_for_ever(folder: str, writer: str, size: str) -> None:
    """Adds pages of its own document, `size` at a time, and says so once they are acknowledged."""
    index, number = Index.open(folder), 0
    while True:
        batch = [page(f"{writer}.pdf", number + place + 1) for place in range(int(size))]
        index.add(batch)
        number += len(batch)
        print(number, flush=True)


def read_for(folder: str, seconds: str) -> None:
    """Searches and counts, and fails where pages are lost, come twice, or are found after they are gone."""
    index, last, until, searches = Index.open(folder), 0, time.monotonic() + float(seconds), 0
    wanted = query_of(page()[1])
    while time.monotonic() < until:
        for plan in ("exact", "bits"):
            hits = index.search(wanted, 5, plan=plan)
            assert len({hit.link for hit in hits}) == len(hits)
            searches += 1
        assert last <= len(index), "the index became smaller"
        last = len(index)
    print(searches, last, flush=True)


if __name__ == "__main__":
    {"write": write_for_ever, "read": read_for}[sys.argv[1]](*sys.argv[2:])


def numbers_of(index: Index, document: str) -> list[int]:
    """Page numbers as the table has them, twice where a page is there twice."""
    catalogue = index.view().version.catalogue
    return sorted(catalogue.numbers[catalogue.of_document(document)].tolist())


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "tests.search.made", *map(str, arguments)]
