"""Rectangles (left, top, right, bottom) and their overlap."""

from collections.abc import Sequence

import numpy as np


def core(boxes: np.ndarray) -> np.ndarray:
    """The middle half of each line's box [n, 4], where letters are whichever they are: detected lines are higher."""
    found = np.array(boxes, float).reshape(-1, 4)
    sides = found[:, 2:] - found[:, :2]
    inwards = np.where(sides <= sides[:, ::-1], sides / 4, 0)
    return np.concatenate([found[:, :2] + inwards, found[:, 2:] - inwards], axis=1)


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


def in_place_of(boxes: np.ndarray, others: Sequence[Sequence[float]] | np.ndarray, times: float = 4.0) -> np.ndarray:
    """Which boxes lie where one of the others does, most of the smaller in the larger, which is no more than so many
    times as large: bool [n]."""
    others = np.asarray(others, float).reshape(-1, 4)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    found = np.zeros(len(boxes), bool)
    for row, box in enumerate(np.asarray(boxes, float)):
        low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
        area, shared = np.prod(box[2:] - box[:2]), np.prod(np.clip(high - low, 0, None), axis=1)
        smaller, larger = np.minimum(areas, area), np.maximum(areas, area)
        found[row] = ((shared >= smaller / 2) & (larger <= times * smaller) & (shared > 0)).any()
    return found
