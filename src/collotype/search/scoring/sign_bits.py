"""The sign bits of all pages in one memory-mapped matrix: a sidecar file."""

from pathlib import Path

import numpy as np

from collotype.search import sidecar
from collotype.search.store import Version, from_lists

KIND = "signs"


def build(folder: Path, version: Version) -> None:
    """Writes the side file of this version, streaming from the table."""
    catalogue = version.catalogue
    pages, total = int((catalogue.counts > 0).sum()), int(catalogue.counts.sum(dtype=np.int64))
    if total:
        sidecar.write(folder, KIND, version.number, lambda scratch: fill(scratch, version, pages, total))


def fill(scratch: Path, version: Version, pages: int, total: int) -> None:
    keys, starts, place, row = np.empty(pages, np.int64), np.zeros(pages + 1, np.int64), 0, 0
    matrix: np.memmap | None = None
    for batch in version.scan(["key", "count", "signs"]):
        bits, cuts = from_lists(batch["signs"])
        if matrix is None:
            matrix = np.lib.format.open_memmap(scratch / "signs.npy", "w+", np.uint8, (total, bits.shape[1]))
        matrix[row : row + len(bits)] = bits
        row += len(bits)
        full = np.diff(cuts) > 0
        here = int(full.sum())
        keys[place : place + here] = batch["key"].to_numpy()[full]
        starts[place + 1 : place + 1 + here] = row - len(bits) + cuts[1:][full]
        place += here
    if matrix is not None:
        matrix.flush()
    np.save(scratch / "keys.npy", keys)
    np.save(scratch / "starts.npy", starts)
