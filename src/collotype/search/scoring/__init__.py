"""Scoring pages: all of them exactly, or candidates first (sign bits, token lists)."""

from collections.abc import Iterator

import numpy as np


def blocks(counts: np.ndarray, size: int) -> Iterator[tuple[int, int]]:
    """Runs of pages of at most `size` vectors together, one page at least; counts: the vectors of each page."""
    ends, first = np.cumsum(counts), 0
    while first < len(counts):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + size, side="right")))
        yield first, last
        first = last
