"""Sign bits: MaxSim by Hamming distance, 16 bytes a vector of 128 numbers.

The distances are faiss's loop (`hammings`), ten times as fast as a matrix product of the same vectors.
"""

from typing import Any

import numpy as np

from collotype.search.scoring import blocks

BLOCK = 8192
"""Vectors compared at once: their distances to a query stay within the cache."""


def distances(query: np.ndarray, signs: np.ndarray, starts: np.ndarray, pages: np.ndarray) -> np.ndarray:
    """For each page asked for, the sum over the query's vectors of the smallest Hamming distance, int64 [len(pages)].

    Args:
        query: packed signs, uint8 [m, W]; signs: of all pages, end to end [starts[P], W], memory-mapped or not.
        starts: int64 [P + 1]; pages: the places of those asked for, ascending, each with a vector at least.
    """
    # its stubs know the classes alone
    import faiss as loops

    faiss: Any = loops
    found, query, width = np.empty(len(pages), np.int64), np.ascontiguousarray(query), query.shape[1]
    counts = starts[pages + 1] - starts[pages]
    cuts = list(blocks(counts, BLOCK))
    longest = max((int(counts[first:last].sum()) for first, last in cuts), default=0)
    # one place for all blocks: fresh memory costs as much as the distances that fill it
    room, gathered = np.empty(len(query) * longest, np.int32), np.empty((longest, width), np.uint8)
    for first, last in cuts:
        here, ends = pages[first:last], np.cumsum(counts[first:last])
        rows = signs[starts[here[0]] : starts[here[-1] + 1]]
        if len(rows) != ends[-1]:
            rows = gathered[: ends[-1]]
            np.concatenate([signs[starts[page] : starts[page + 1]] for page in here], out=rows)
        apart = room[: len(query) * len(rows)].reshape(len(query), len(rows))
        faiss.hammings(faiss.swig_ptr(query), faiss.swig_ptr(rows), len(query), len(rows), width, faiss.swig_ptr(apart))
        found[first:last] = np.minimum.reduceat(apart, ends - counts[first:last], axis=1).sum(axis=0)
    return found
