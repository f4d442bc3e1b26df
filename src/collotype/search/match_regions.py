"""Where on a page each word of a query was found, and the text that stands there."""

from collections.abc import Sequence

import numpy as np

from collotype.search.pages import EncodedQuery, MatchRegion

WORDS_AROUND = 15
"""Words of a hit's text before and after the best place."""


def places(query: EncodedQuery, vectors: np.ndarray, boxes: np.ndarray) -> tuple[MatchRegion, ...]:
    """The best place of each of the query's words, in their order; a word found only where there is no box has none.

    Args:
        vectors: of the page, float32 [n, D]; boxes: float32 [n, 4], NaN for nowhere.
    """
    somewhere = np.flatnonzero(~np.isnan(boxes).any(axis=1))
    if not len(somewhere):
        return ()
    similarities = query.vectors @ vectors[somewhere].T
    best, found = similarities.argmax(axis=1), []
    for number, word in enumerate(query.words):
        mine = [row for row, of in enumerate(query.word_of) if of == number]
        if mine:
            row = max(mine, key=lambda row: similarities[row, best[row]])
            box = tuple(float(edge) for edge in boxes[somewhere[best[row]]])
            found.append(MatchRegion(word=word, box=box, score=float(similarities[row, best[row]])))
    return tuple(found)


def text_around(found: Sequence[MatchRegion], words: Sequence[str], boxes: np.ndarray) -> str:
    """What stands around the best place: the page's words next to it; the page's first ones where there is no place.

    Args:
        boxes: of the words, float32 [w, 4], NaN for nowhere.
    """
    if not len(words):
        return ""
    nearest = 0
    if found and not np.isnan(boxes).all():
        left, top, right, bottom = max(found, key=lambda place: place.score).box
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        nearest = int(np.nanargmin(np.square(middles - ((left + right) / 2, (top + bottom) / 2)).sum(axis=1)))
    first, last = max(0, nearest - WORDS_AROUND), nearest + WORDS_AROUND + 1
    return " ".join(["…"] * (first > 0) + list(words[first:last]) + ["…"] * (last < len(words)))
