"""MaxSim of one query with stored pages, float32.

m query vectors of D dimensions; a page is its vectors as they are stored, fp16 or int8 [n, D], and what a stored number
is worth.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

BLOCK = 4096
"""Vectors held in float32 at once, some four pages: what leaves the cache costs more than the product."""


def scores(query: np.ndarray, pages: Sequence[tuple["torch.Tensor", float]]) -> np.ndarray:
    """The score of each page, float32: the sum, over the query's vectors [m, D], of the best dot product on the page.

    A page without vectors scores -inf.
    """
    import torch

    wanted, found = torch.from_numpy(query), np.empty(len(pages), np.float32)
    counts = np.array([len(vectors) for vectors, _ in pages], int)
    scales = np.array([scale for _, scale in pages], np.float32)
    for first, last in blocks(counts):
        rows = torch.cat([vectors for vectors, _ in pages[first:last]]).float()
        found[first:last] = sum_of_best(wanted @ rows.T, counts[first:last])
    return found * scales


def sum_of_best(similarities: "torch.Tensor", counts: np.ndarray) -> np.ndarray:
    """The sums of the best of each page's columns: [m, sum of counts] to [pages]."""
    if counts.min() and (counts == counts[0]).all():
        return similarities.view(len(similarities), len(counts), -1).amax(2).sum(0).numpy()
    cuts = similarities.split(counts.tolist(), dim=1)
    return np.array([float(cut.amax(1).sum()) if cut.shape[1] else -np.inf for cut in cuts], np.float32)


def blocks(counts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Runs of pages of at most BLOCK vectors together, one page at least."""
    ends, first = np.cumsum(counts), 0
    while first < len(counts):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + BLOCK, side="right")))
        yield first, last
        first = last
