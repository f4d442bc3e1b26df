"""Sign bits: MaxSim by Hamming distance, 16 bytes a vector of 128 numbers.

The distances are faiss's loop (`hammings`), ten times as fast as a matrix product of the same vectors.
"""

import numpy as np

BLOCK = 8192
"""Vectors compared at once: their distances to a query stay within the cache."""


def distances(query: np.ndarray, signs: np.ndarray, starts: np.ndarray, pages: np.ndarray) -> np.ndarray:
    """For each page asked for, the sum over the query's vectors of the smallest Hamming distance, int64 [len(pages)].

    Args:
        query: packed signs, uint8 [m, W]; signs: of all pages, end to end [starts[P], W], memory-mapped or not.
        starts: int64 [P + 1]; pages: the places of those asked for, ascending, each with a vector at least.
    """
    import faiss

    found = np.empty(len(pages), np.int64)
    query, width = np.ascontiguousarray(query), query.shape[1]
    for first, last in runs(pages, starts):
        low, high = int(starts[pages[first]]), int(starts[pages[last - 1] + 1])
        rows = np.ascontiguousarray(signs[low:high])
        apart = np.empty((len(query), high - low), np.int32)
        faiss.hammings(
            faiss.swig_ptr(query), faiss.swig_ptr(rows), len(query), high - low, width, faiss.swig_ptr(apart)
        )
        found[first:last] = np.minimum.reduceat(apart, starts[pages[first:last]] - low, axis=1).sum(axis=0)
    return found


def runs(pages: np.ndarray, starts: np.ndarray) -> list[tuple[int, int]]:
    """Cuts of `pages` into neighbours of at most BLOCK vectors together, one page at least."""
    if not len(pages):
        return []
    alone = np.flatnonzero(np.diff(pages) != 1) + 1
    cuts = []
    for first, last in zip([0, *alone.tolist()], [*alone.tolist(), len(pages)], strict=True):
        while first < last:
            within = int(np.searchsorted(starts[pages[first:last] + 1], starts[pages[first]] + BLOCK, side="right"))
            cuts.append((first, first + max(1, within)))
            first += max(1, within)
    return cuts
