"""Numbers that decide what a person sees: each is noticed where it is changed."""

from pathlib import Path

import numpy as np
import pytest

from collotype.search import snapshot
from collotype.search.heatmap import framed
from collotype.search.index import Index
from collotype.search.match_regions import text_around
from collotype.search.pages import EncodedPage, EncodedQuery, MatchRegion, Word
from collotype.search.scoring.plan import EXACT_VECTORS, SIGN_VECTORS, Plan, choose, named
from tests.search.made import DESCRIBED, DIM, page

BOXES = np.array([[0, 0, 1, 0.25], [0, 0.25, 1, 0.5], [0, 0.5, 1, 0.75]], np.float32)


def test_a_word_is_framed_from_three_fifths_of_the_best_cosine_on() -> None:
    """Words one axis each: the first is found wholly, the others as far as their vectors lie in the page's axes."""
    cosines = [1.0, 0.62, 0.58]
    vectors = np.zeros((3, 4), np.float32)
    vectors[range(3), range(3)] = cosines
    vectors[:, 3] = [np.sqrt(1 - cosine**2) for cosine in cosines]
    query = EncodedQuery(vectors, ("whole", "just", "hardly"), (0, 1, 2))
    assert framed(query, EncodedPage(np.eye(4, dtype=np.float32)[:3], BOXES)) == [tuple(BOXES[0]), tuple(BOXES[1])]


@pytest.mark.parametrize(
    ("at", "expected"),
    [(20, ["…", *range(5, 36), "…"]), (0, [*range(16), "…"]), (39, ["…", *range(24, 40)])],
)
def test_a_hits_text_is_fifteen_words_on_either_side(at: int, expected: list) -> None:
    edges = np.arange(41) / 40
    boxes = np.stack([edges[:-1], edges[:-1] * 0, edges[1:], edges[1:] * 0 + 1], axis=1).astype(np.float32)
    place = MatchRegion(word="any", box=tuple(map(float, boxes[at])), score=1.0)
    assert text_around([place], [Word(str(word), (0, 0, 0, 0)) for word in range(40)], boxes).split() == [
        str(word) for word in expected
    ]


def test_five_times_as_many_pages_are_rescored_as_are_asked_for_and_fifty_at_least() -> None:
    assert [named("bits", k).rescored for k in (1, 10, 11, 100)] == [50, 50, 55, 500]
    assert choose(SIGN_VECTORS, 128, 20, have_lists=True)[0] == Plan("bits", 100)


def test_how_a_query_is_answered_changes_beyond_each_size() -> None:
    exact = EXACT_VECTORS // 16
    sizes = [exact, exact + 1, SIGN_VECTORS, SIGN_VECTORS + 1]
    assert [choose(size, 512, 10, have_lists=True)[0].name for size in sizes] == ["exact", "bits", "bits", "lists"]
    assert choose(SIGN_VECTORS + 1, 512, 10, have_lists=False)[0].name == "bits"


def test_five_pages_of_a_document_are_rescored_where_each_is_found_once(tmp_path: Path) -> None:
    """Pages of the long document all match alike by their sign bits, the fifth of them best."""
    index = Index.create(tmp_path / "index", **DESCRIBED)
    long = [page("long.pdf", number, count=1) for number in range(1, 10)]
    for number, (_, encoded) in enumerate(long, start=1):
        direction = np.ones(DIM) + (0 if number == 5 else 1 + number) * np.eye(DIM)[0]
        encoded.vectors[0] = direction / np.linalg.norm(direction)
    index.add([*long, page("short.pdf", count=1)])
    index.optimize()
    query = EncodedQuery(np.full((1, DIM), DIM**-0.5, np.float32), ("all",), (0,))
    hits, told = index.explained(query, 5, group=True, plan=Plan("bits", rescored=8))
    assert told.rescored == 6 and told.plan == "bits"
    assert [hit.link for hit in hits] == ["long.pdf#page=5", "short.pdf#page=1"]
    assert snapshot.PER_DOCUMENT < len(long)
