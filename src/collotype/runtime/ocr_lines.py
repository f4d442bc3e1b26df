"""OCR lines of an image: found in tiles, joined, with direction and order.

A line is its four corners [4, 2] in pixels; as it is detected, from the top left one clockwise, then so that the first
edge runs as the line is read.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

TILE, OVERLAP = 1280, 128
"""In pixels: what detection takes at once, in 0.7 GB, and what neighbours share: a line cut by one is whole in the
other, or continues there."""
INSIDE, BESIDE = 0.5, 0.6
"""Boxes of two tiles are one line where they share this part of the smaller one, or meet and share this of its
height."""
LONG, TALL = 2.0, 1.5
"""A box this many lines' heights long has a direction; it runs down where it is this many times as high as wide."""
SURE, LONGEST = 0.9, 16
"""The classifier counts for a line alone if it is so sure, and the line runs across what the page's lines do; of those
it is asked of this many, the longest."""
CLEARLY, READ_TWICE = 0.5, 3
"""A page whose lines it does not call upright by so much of their vote is read: this many lines, both ways round. It
sees a line squeezed to 192 x 48 pixels, and calls most lines of some fonts upside down."""


def tiles(pixels: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """(left, top, tile), of about one size."""
    high, wide = pixels.shape[:2]
    for top, bottom in cuts(high):
        for left, right in cuts(wide):
            yield left, top, pixels[top:bottom, left:right]


def cuts(length: int) -> list[tuple[int, int]]:
    """Where the tiles along a side begin and end."""
    count = max(1, math.ceil((length - OVERLAP) / (TILE - OVERLAP)))
    step = (length - OVERLAP) / count
    return [(round(place * step), min(length, round((place + 1) * step) + OVERLAP)) for place in range(count)]


def joined(found: Sequence[np.ndarray]) -> np.ndarray:
    """The lines of all tiles [n, 4, 2], those that several have once."""
    if len(found) < 2:
        return found[0] if found else np.empty((0, 4, 2), np.float32)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    quads = np.concatenate(found)
    of_tile = np.repeat(np.arange(len(found)), [len(of) for of in found])
    pairs = [(row, other) for row in range(len(quads)) for other in same_as(row, quads, of_tile)]
    rows, others = np.array(pairs, int).reshape(-1, 2).T
    count, of_line = connected_components(coo_array((np.ones(len(rows)), (rows, others)), shape=(len(quads),) * 2))
    groups = [quads[of_line == number] for number in range(count)]
    return np.stack([group[0] if len(group) == 1 else around(group) for group in groups])


def same_as(row: int, quads: np.ndarray, of_tile: np.ndarray) -> np.ndarray:
    """Which lines of other tiles are of the line of this row."""
    low, high = quads.min(axis=1), quads.max(axis=1)
    sides = high - low
    shared = np.clip(np.minimum(high, high[row]) - np.maximum(low, low[row]), 0, None)
    smaller = np.minimum(sides, sides[row])
    inside = shared.prod(axis=1) >= INSIDE * np.minimum(sides.prod(axis=1), sides[row].prod())
    meet, level = (shared > 0).all(axis=1), shared >= BESIDE * smaller
    lies, stands = sides[:, 0] >= sides[:, 1], sides[:, 0] <= sides[:, 1]
    beside = meet & ((level[:, 1] & lies & lies[row]) | (level[:, 0] & stands & stands[row]))
    return np.flatnonzero((inside & meet | beside) & (of_tile != of_tile[row]))


def around(group: np.ndarray) -> np.ndarray:
    """The corners of the smallest rectangle around some lines [k, 4, 2], from the top left one clockwise."""
    import cv2

    corners = cv2.boxPoints(cv2.minAreaRect(group.reshape(-1, 2)))
    sums, differences = corners.sum(axis=1), corners[:, 1] - corners[:, 0]
    return corners[[sums.argmin(), differences.argmin(), sums.argmax(), differences.argmax()]]


def directed(
    quads: np.ndarray,
    upside_down: Callable[[np.ndarray], np.ndarray],
    better_turned: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """The lines so that their first edge runs as they are read.

    Args:
        upside_down: how surely each of some lines is so, from 1 to -1; quickly, and for some fonts wrongly.
        better_turned: how much better each of some lines can be read when it is turned round, from 1 to -1.
    """
    if not len(quads):
        return quads
    quads = quads.copy()
    across = np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1)
    down = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)
    length, height = np.maximum(across, down), np.minimum(across, down)
    long = length >= LONG * np.median(height)
    tall, wide = long & (down >= TALL * across), long & (across >= TALL * down)
    on_its_side = length[tall].sum() > length[wide].sum()
    runs_down = np.where(tall | wide, tall, on_its_side)
    # as on a page that was turned clockwise
    quads[runs_down] = np.roll(quads[runs_down], -1, axis=1)
    asked = (runs_down != on_its_side) | (length >= np.sort(length)[-LONGEST:].min())
    sure = np.zeros(len(quads))
    sure[asked] = upside_down(quads[asked])
    by_itself = (np.abs(sure) > SURE) & (runs_down != on_its_side)
    doubtful = by_itself & (sure > 0)
    if doubtful.any():
        sure[doubtful] = better_turned(quads[doubtful])
    for mine in (runs_down, ~runs_down):
        votes = (sure * length)[mine]
        most = votes.sum()
        if most > -CLEARLY * np.abs(votes).sum():
            most = better_turned(quads[mine][np.argsort(-length[mine])[:READ_TWICE]]).sum()
        turned = mine & (np.where(by_itself, sure, most) > 0)
        quads[turned] = np.roll(quads[turned], 2, axis=1)
    return quads


def reading_order(quads: np.ndarray) -> list[int]:
    """Rows of lines, from above to below on the page as most of them make it upright, each from its beginning."""
    if not len(quads):
        return []
    edges = quads[:, 1] - quads[:, 0]
    whither = edges.sum(axis=0)
    along = np.round(whither / np.abs(whither).max()) if np.abs(whither).max() else np.array([1.0, 0.0])
    along = along if np.abs(along).sum() == 1 else np.array([np.sign(along[0]), 0.0])
    below = np.array([-along[1], along[0]])
    middles = quads.mean(axis=1)
    depth, start = middles @ below, middles @ along
    height = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)
    left, found = np.argsort(depth, kind="stable"), []
    while len(left):
        first = left[0]
        in_row = depth[left] - depth[first] <= height[first] / 2
        row = left[in_row]
        found += row[np.argsort(start[row], kind="stable")].tolist()
        left = left[~in_row]
    return found
