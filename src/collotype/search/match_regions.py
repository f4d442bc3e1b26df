"""Where on a page each word of a query matches, and the text around it."""

from collections.abc import Sequence

import numpy as np

from collotype.search.pages import EncodedPage, EncodedQuery, MatchRegion, Word

SAME = 1e-6
"""Two dot products that differ by less are of one vector."""
WORDS_AROUND = 15
"""Words of a hit's text before and after the best place."""


def places(query: EncodedQuery, page: EncodedPage) -> tuple[MatchRegion, ...]:
    """The best place of each of the query's words, in their order; a word found only where there is no box has none,
    nor has one whose token a sparse page lacks."""
    boxes = page.boxes
    somewhere = np.flatnonzero(~np.isnan(boxes).any(axis=1))
    if not len(somewhere):
        return ()
    similarities = query.similarities(page)[:, somewhere]
    best = similarities.max(axis=1)
    there = best > (-np.inf if query.token_ids is None else 0)
    rows = {
        number: max(mine, key=lambda row: best[row])
        for number in range(len(query.words))
        if (mine := [row for row, of in enumerate(query.word_of) if of == number and there[row]])
    }
    # of a vector with several boxes all are equally good
    likely = {number: somewhere[similarities[row] >= best[row] - SAME] for number, row in rows.items()}
    chosen = together([boxes[places] for places in likely.values()])
    return tuple(
        MatchRegion(word=query.words[number], box=(*box.tolist(),), score=float(best[row]))
        for (number, row), box in zip(rows.items(), chosen, strict=True)
    )


def together(likely: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Of each word's boxes [n, 4] the one that the other words' are nearest to, the first of such."""
    middles = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in likely]
    found = []
    for number, (own, boxes) in enumerate(zip(middles, likely, strict=True)):
        others = middles[:number] + middles[number + 1 :] if len(own) > 1 else []
        apart = sum(np.hypot(*(own[:, None] - other[None]).transpose(2, 0, 1)).min(axis=1) for other in others)
        found.append(boxes[np.argmin(apart) if len(others) else 0])
    return found


def text_around(found: Sequence[MatchRegion], words: Sequence[Word], boxes: np.ndarray) -> str:
    """What stands around the best place: the page's words next to it; the page's first ones where there is no place.

    Args:
        boxes: of the words, float32 [w, 4], NaN for nowhere.
    """
    if not len(words):
        return ""
    nearest = 0
    if found:
        left, top, right, bottom = max(found, key=lambda place: place.score).box
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        apart = np.hypot(*(middles - ((left + right) / 2, (top + bottom) / 2)).T)
        nearest = int(np.where(np.isnan(apart), np.inf, apart).argmin())
    first, last = max(0, nearest - WORDS_AROUND), nearest + WORDS_AROUND + 1
    around = [word.text for word in words[first:last]]
    return " ".join(["…"] * (first > 0) + around + ["…"] * (last < len(words)))
