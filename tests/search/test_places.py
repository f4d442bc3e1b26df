"""Where light falls on a page: on a word's own characters, and on the cells that its model has."""

import numpy as np
import pytest

from collotype.search.encoders.text import split
from collotype.search.heatmap import heat
from collotype.search.pages import EncodedPage, EncodedQuery


def test_a_term_lies_on_its_own_characters() -> None:
    column = [(0.1, place / 10, 0.2, (place + 1) / 10) for place in range(4)]
    found = split([("図書館の", (0.1, 0.0, 0.2, 0.4), column)])
    assert [(term.text, term.box[1], term.box[3]) for term in found] == [
        ("図書", 0, pytest.approx(0.2)),
        ("書館", pytest.approx(0.1), pytest.approx(0.3)),
        ("館の", pytest.approx(0.2), pytest.approx(0.4)),
    ]


def test_folding_and_right_to_left_change_no_place() -> None:
    # ﬁ is two letters when folded; the boxes run from right to left
    boxes = [(0.9 - place / 10, 0, 1 - place / 10, 1) for place in range(5)]
    first, second = split([("ﬁn-ab", (0.5, 0, 1, 1), boxes)])
    assert first.text == "fin" and first.box == pytest.approx((0.8, 0, 1, 1))
    assert second.text == "ab" and second.box == pytest.approx((0.5, 0, 0.7, 1))


def test_words_of_one_size_are_no_patches() -> None:
    boxes = np.array([(0.0, 0.0, 0.1, 0.5), (0.1, 0.0, 0.2, 0.5)], np.float32)
    page = EncodedPage(np.eye(2, dtype=np.float32), boxes)
    query = EncodedQuery(np.eye(2, dtype=np.float32)[:1], ("word",), (0,))
    assert heat(query, page, (100, 50)).shape == (64, 128)
    assert heat(query, page, (100, 50), patches=True).shape == (2, 10)
