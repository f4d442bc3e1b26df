"""MaxSim of one query with stored pages, float32.

m query vectors of D dimensions; a page is its vectors as they are stored, fp16 or int8 [n, D], and what a stored number
is worth.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from collotype.runtime.threads import one_thread
from collotype.search.scoring import blocks

if TYPE_CHECKING:
    import torch

BLOCK = 512 * 1024
"""Numbers held in float32 at once, some four pages: what leaves the cache costs more than the product."""


@one_thread()
def scores(query: np.ndarray, pages: Sequence[tuple["torch.Tensor", float]]) -> np.ndarray:
    """The score of each page, float32: the sum, over the query's vectors [m, D], of the best dot product on the page.

    A page without vectors scores -inf.
    """
    import torch

    wanted, found = torch.from_numpy(query), np.empty(len(pages), np.float32)
    counts = np.array([len(vectors) for vectors, _ in pages], int)
    scales = np.array([scale for _, scale in pages], np.float32)
    cuts = list(blocks(counts, BLOCK // query.shape[1]))
    # one place for all blocks: fresh memory costs more than the cast that fills it
    room = torch.empty(max((counts[first:last].sum() for first, last in cuts), default=0), query.shape[1])
    for first, last in cuts:
        rows = room[: counts[first:last].sum()]
        for part, (vectors, _) in zip(rows.split(counts[first:last].tolist()), pages[first:last], strict=True):
            part.copy_(vectors)
        found[first:last] = sum_of_best(wanted @ rows.T, counts[first:last])
    return found * scales


def sum_of_best(similarities: "torch.Tensor", counts: np.ndarray) -> np.ndarray:
    """The sums of the best of each page's columns: [m, sum of counts] to [pages]."""
    if counts.min() and (counts == counts[0]).all():
        return similarities.view(len(similarities), len(counts), -1).amax(2).sum(0).numpy()
    cuts = similarities.split(counts.tolist(), dim=1)
    return np.array([float(cut.amax(1).sum()) if cut.shape[1] else -np.inf for cut in cuts], np.float32)
