"""Rectangles (left, top, right, bottom), and what of one others cover."""

from collections.abc import Sequence

import numpy as np


def covered(boxes: np.ndarray, by: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """The part of each box's area that the others cover, those taken as lying beside each other: float64 [n]."""
    others = np.asarray(by, float).reshape(-1, 4)
    found = np.zeros(len(boxes))
    if not len(others):
        return found
    for row, box in enumerate(np.asarray(boxes, float)):
        low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
        area = np.prod(box[2:] - box[:2])
        found[row] = np.prod(np.clip(high - low, 0, None), axis=1).sum() / area if area > 0 else 1.0
    return np.minimum(found, 1.0)
