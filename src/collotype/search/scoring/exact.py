"""MaxSim of queries with stored pages, float32.

m vectors of D dimensions are a query; a page is its vectors as they are stored, fp16 or int8 [n, D], and what a stored
number is worth.
"""

from collections.abc import Sequence

import numpy as np

from collotype.search.quantization import in_float32
from collotype.search.scoring import blocks

BLOCK = 512 * 1024
"""Numbers held in float32 at once, some four pages: what leaves the cache costs more than the product."""


def scores(queries: Sequence[np.ndarray], pages: Sequence[tuple[np.ndarray, float]]) -> np.ndarray:
    """The score of each page, float32 [queries, pages]: the sum, over a query's vectors [m, D], of the best dot product
    on the page.

    A page without vectors scores -inf.
    """
    counts = np.array([len(vectors) for vectors, _ in pages], int)
    scales = np.array([scale for _, scale in pages], np.float32)
    found = np.empty((len(queries), len(pages)), np.float32)
    wanted, firsts = np.concatenate(queries), starts([len(query) for query in queries])
    cuts = list(blocks(counts, BLOCK // wanted.shape[1]))
    # one place for all blocks: fresh memory costs more than the cast that fills it
    room = np.empty((max((counts[first:last].sum() for first, last in cuts), default=0), wanted.shape[1]), np.float32)
    for first, last in cuts:
        ends = np.cumsum(counts[first:last])
        for (vectors, _), start, end in zip(pages[first:last], ends - counts[first:last], ends, strict=True):
            in_float32(vectors, room[start:end])
        # the pages first: OpenBLAS takes half the time for the same numbers, a query has few vectors
        similarities = (room[: ends[-1]] @ wanted.T).T
        found[:, first:last] = sums_of_best(similarities, firsts, counts[first:last])
    return found * scales


def sums_of_best(similarities: np.ndarray, firsts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Of each page's columns the best, added up over each query's rows: [sum of m, sum of counts] to [queries, pages].

    Args:
        firsts: the first row of each query; counts: the columns of each page.
    """
    found, some = np.full((len(firsts), len(counts)), -np.inf, np.float32), counts > 0
    if some.any():
        best = np.maximum.reduceat(similarities, starts(counts)[some], axis=1)
        found[:, some] = np.add.reduceat(best, firsts, axis=0)
    return found


def starts(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.cumsum(lengths) - lengths
