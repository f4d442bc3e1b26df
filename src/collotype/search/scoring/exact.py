"""MaxSim of one query with stored pages, float32.

m query vectors of D dimensions; P pages whose stored vectors stand end to end, those of page p from starts[p] on.
"""

from collections.abc import Iterator

import numpy as np
import torch

BLOCK = 4096
"""Vectors held in float32 at once, some four pages: what leaves the cache costs more than the product."""


def scores(query: np.ndarray, stored: torch.Tensor, starts: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The score of each page [P]: the sum, over the query's vectors, of the best dot product on the page.

    Args:
        query: float32 [m, D]; stored: fp16 or int8 [starts[P], D]; starts: [P + 1]; scales: what a stored number is
            worth, by page [P]. A page without vectors scores -inf.
    """
    wanted = torch.from_numpy(query)
    found = np.empty(len(scales), np.float32)
    for first, last in blocks(starts, BLOCK):
        low, high = int(starts[first]), int(starts[last])
        similarities = wanted @ stored[low:high].float().T
        found[first:last] = sum_of_best(similarities, np.diff(starts[first : last + 1]))
    return found * scales


def sum_of_best(similarities: torch.Tensor, counts: np.ndarray) -> np.ndarray:
    """The sums of the best of each page's columns: [m, sum of counts] to [pages]."""
    if not counts.min():
        return np.array(
            [part.amax(1).sum() if part.shape[1] else -np.inf for part in similarities.split(counts.tolist(), 1)]
        )
    if (counts == counts[0]).all():
        return similarities.view(len(similarities), len(counts), -1).amax(2).sum(0).numpy()
    return torch.stack([part.amax(1).sum() for part in similarities.split(counts.tolist(), 1)]).numpy()


def blocks(starts: np.ndarray, size: int) -> Iterator[tuple[int, int]]:
    """Runs of whole pages of at most `size` vectors together, one page at least."""
    first, pages = 0, len(starts) - 1
    while first < pages:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + size, side="right")) - 1)
        yield first, last
        first = last
