"""Token lists (IVF): centroids of all vectors, and for each the pages with a vector nearest to it. 2 KB a page.

A page is as near to a query's vector as the nearest centre it is listed under; of the lists of far centres it is only
known that they are farther than those looked at. That is enough to name a few thousand pages, whose sign bits decide on
the few that are scored exactly. (The first stage of PLAID, arXiv 2205.09707, with WARP's bound for what was not looked
at, arXiv 2501.17788.)
"""

import math
from pathlib import Path

import numpy as np

from collotype.search import sidecar
from collotype.search.quantization import in_float32
from collotype.search.sidecar import Sidecar
from collotype.search.store import Version, from_lists

KIND = "lists"
MADE_FROM = 6_000_000
"""Vectors from which on lists are made; before, the scan of all sign bits is as quick."""
PROBED = 16
"""Lists looked at for each vector of a query."""
NAMED_AT_LEAST, NAMED_PART = 2000, 0.05
"""Pages whose sign bits are compared."""
OUTGROWN = 4
"""Centres are found anew when there are this many times the vectors they were found for."""
SAMPLE, ROUNDS, PAGES_AT_ONCE = 64, 8, 32


def near(found: Sidecar, query: np.ndarray) -> np.ndarray:
    """How near each listed page is to a query [m, D], an upper bound of sorts: float32 [pages listed]."""
    centres, starts, pages = (found.arrays[name] for name in ("centres", "starts", "pages"))
    similarities = query @ np.asarray(centres).T
    probed = min(PROBED, len(centres) - 1)
    nearest = np.argpartition(-similarities, probed, axis=1)[:, : probed + 1]
    total = np.zeros(len(found.arrays["keys"]), np.float32)
    for row, lists in zip(similarities, nearest, strict=True):
        best, *rest = lists[np.argsort(row[lists])]
        scores = np.full(len(total), row[best], np.float32)
        for one in rest:
            # the nearest centre comes last, so it is what stays
            scores[pages[starts[one] : starts[one + 1]]] = row[one]
        total += scores
    return total


def build(folder: Path, version: Version) -> None:
    """Writes the side file of this version; pages that an older one has are not looked at again."""
    catalogue = version.catalogue
    vectors = int(catalogue.counts.sum(dtype=np.int64))
    if not vectors:
        return
    old = sidecar.newest(folder, KIND)
    if old and int(old.arrays["trained_on"]) * OUTGROWN >= vectors:
        centres, trained_on, known = np.asarray(old.arrays["centres"]), int(old.arrays["trained_on"]), codes_by_key(old)
    else:
        centres, trained_on, known = train(version, vectors), vectors, {}
    full = np.flatnonzero(catalogue.counts > 0)
    new = np.array([place for place in full if int(catalogue.keys[place]) not in known], int)
    known |= assign(version, new, centres)
    codes = [known[int(catalogue.keys[place])] for place in full]
    sidecar.write(
        folder,
        KIND,
        version.number,
        lambda scratch: save(
            scratch,
            centres=centres,
            trained_on=np.array(trained_on),
            keys=catalogue.keys[full],
            **both_ways(codes, len(centres)),
        ),
    )


def save(scratch: Path, **arrays: np.ndarray) -> None:
    for name, array in arrays.items():
        np.save(scratch / f"{name}.npy", array)


def codes_by_key(old: Sidecar) -> dict[int, np.ndarray]:
    cuts = old.arrays["code_starts"][1:-1]
    return dict(zip(old.arrays["keys"].tolist(), np.split(np.asarray(old.arrays["codes"]), cuts), strict=True))


def both_ways(codes: list[np.ndarray], centres: int) -> dict[str, np.ndarray]:
    """The centres of each page, and the pages of each centre: end to end, with where each begins."""
    lengths = [len(each) for each in codes]
    flat = np.concatenate(codes)
    order = np.argsort(flat, kind="stable")
    return {
        "codes": flat,
        "code_starts": np.concatenate([[0], np.cumsum(lengths)]),
        "pages": np.repeat(np.arange(len(codes), dtype=np.int32), lengths)[order],
        "starts": np.searchsorted(flat[order], np.arange(centres + 1)),
    }


def train(version: Version, vectors: int) -> np.ndarray:
    """Centres [C, D] of unit length, C about the square root of the number of vectors, by k-means of a sample."""
    import faiss

    count = 2 ** round(math.log2(math.sqrt(vectors)))
    random, catalogue = np.random.default_rng(0), version.catalogue
    sample, have = [], 0
    for places in np.array_split(random.permutation(len(catalogue)), max(1, len(catalogue) // PAGES_AT_ONCE)):
        rows, _ = stored(version, places)
        # a quarter of each page: four times the pages say more than four times the vectors
        sample.append(rows[random.random(len(rows)) < 0.25] if vectors > 4 * SAMPLE * count else rows)
        have += len(sample[-1])
        if have >= SAMPLE * count:
            break
    rows = np.concatenate(sample)
    means = faiss.Kmeans(
        rows.shape[1], min(count, len(rows)), niter=ROUNDS, spherical=True, min_points_per_centroid=1,
        max_points_per_centroid=SAMPLE, seed=0,
    )  # fmt: skip
    means.train(rows)
    return np.asarray(means.centroids)


def assign(version: Version, places: np.ndarray, centres: np.ndarray) -> dict[int, np.ndarray]:
    """The centres nearest to a vector of each page, ascending int32, by the page's key."""
    table, found = np.array(centres).T, {}
    for first in range(0, len(places), PAGES_AT_ONCE):
        here = places[first : first + PAGES_AT_ONCE]
        rows, starts = stored(version, here)
        for place, low, high in zip(here, starts[:-1], starts[1:], strict=True):
            nearest = (rows[low:high] @ table).argmax(axis=1)
            found[int(version.catalogue.keys[place])] = np.unique(nearest.astype(np.int32))
    return found


def stored(version: Version, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of some pages in float32, end to end, in whole steps of their scale, and where each page's begin."""
    rows, starts = from_lists(version.take(places, ["vectors"])["vectors"])
    return in_float32(rows), starts
