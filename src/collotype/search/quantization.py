"""Storage of vectors and boxes: fp16 or int8 with a scale per page, sign bits, boxes in 65,535ths of the page."""

from typing import Literal

import numpy as np

Precision = Literal["fp16", "int8"]
STEPS = 65534
NOWHERE = 65535
"""The uint16 of a box that a vector does not have."""
HALF_BITS = np.array(0x8FFFE000, np.uint32).view(np.int32)
"""Where a half's sign, exponent and fraction come to lie in a float32."""


def pack_vectors(vectors: np.ndarray, precision: Precision) -> tuple[np.ndarray, float]:
    """Vectors [n, D] as they are stored, and what a stored number is worth."""
    if precision == "fp16":
        return vectors.astype(np.float16), 1.0
    scale = float(np.abs(vectors).max(initial=0)) / 127 or 1.0
    return np.rint(vectors / scale).astype(np.int8), scale


def in_float32(stored: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Stored numbers in float32: four times as fast as NumPy's own cast from fp16, whose exponents are moved here."""
    out = np.empty(stored.shape, np.float32) if out is None else out
    if stored.dtype != np.float16:
        np.copyto(out, stored)
        return out
    bits = out.view(np.int32)
    np.copyto(bits, stored.view(np.int16))
    bits <<= 13
    bits &= HALF_BITS
    out *= np.float32(2**112)
    return out


def sign_bytes(dim: int) -> int:
    """Bytes of a vector's sign bits: whole 64-bit words, as the scan takes them."""
    return -(-dim // 64) * 8


def pack_signs(vectors: np.ndarray) -> np.ndarray:
    """uint8 [n, sign_bytes(D)]: a bit for each number, set where it is positive; the rest is zero."""
    packed = np.packbits(vectors > 0, axis=1)
    return np.pad(packed, ((0, 0), (0, sign_bytes(vectors.shape[1]) - packed.shape[1])))


def pack_boxes(boxes: np.ndarray) -> np.ndarray:
    """Boxes float32 [n, 4], NaN for nowhere, as uint16."""
    nowhere = np.isnan(boxes).any(axis=1, keepdims=True)
    steps = np.rint(np.clip(np.nan_to_num(boxes), 0, 1) * STEPS)
    return np.where(nowhere, NOWHERE, steps).astype(np.uint16)


def unpack_boxes(packed: np.ndarray) -> np.ndarray:
    boxes = packed.astype(np.float32) / STEPS
    boxes[packed[:, 0] == NOWHERE] = np.nan
    return boxes
