"""Pages' vectors kept in memory, those asked for last: a small index is read once, a large one where it is searched."""

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from collotype.search.store import Version, parts

if TYPE_CHECKING:
    import torch

LIMIT_BYTES = 192 * 2**20
"""Some 750 pages of 1,030 × 128 in fp16."""

Stored = tuple["torch.Tensor", float]
"""A page's vectors as they are stored [n, D], and what a stored number is worth."""


class Held:
    """By key, so that what is held stays true when pages are added, written again or deleted."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES):
        self.limit_bytes = limit_bytes
        self._pages: OrderedDict[int, Stored] = OrderedDict()
        self._bytes = 0
        self._turn = threading.Lock()

    def pages(self, version: Version, places: np.ndarray) -> list[Stored]:
        """The pages at these places of a version's catalogue, read where they are not held."""
        keys = version.catalogue.keys[places].tolist()
        found: dict[int, Stored] = {}
        with self._turn:
            for key in keys:
                if key in self._pages:
                    self._pages.move_to_end(key)
                    found[key] = self._pages[key]
        missing = np.array([place for place, key in zip(places, keys, strict=True) if key not in found], int)
        if len(missing):
            read = dict(zip(version.catalogue.keys[missing].tolist(), stored(version, missing), strict=True))
            self._keep(read)
            found |= read
        return [found[key] for key in keys]

    def _keep(self, pages: dict[int, Stored]) -> None:
        with self._turn:
            for key, page in pages.items():
                if key not in self._pages:
                    self._pages[key] = page
                    self._bytes += page[0].nbytes
            while self._bytes > self.limit_bytes:
                self._bytes -= self._pages.popitem(last=False)[1][0].nbytes


def stored(version: Version, places: np.ndarray) -> list[Stored]:
    """Pages read from the table, each in memory of its own."""
    import torch

    rows = version.take(places, ["vectors", "scale"])
    numbers, width, starts = parts(rows["vectors"])
    # by dlpack: memory that must not be written to has no other way into torch without a copy
    vectors = torch.from_dlpack(numbers).view(-1, width)
    scales = rows["scale"].to_pylist()
    return [(vectors[low:high].clone(), scale) for low, high, scale in zip(starts, starts[1:], scales, strict=False)]
