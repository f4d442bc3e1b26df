"""Highlights an image by the weights of its patches."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

SHADE = np.array([18.0, 22.0, 48.0])
"""The colour of a patch that does not count at all."""
FRAME = (232, 62, 38)
FLOOR = 0.12


def light_up(
    image: Image.Image,
    weights: np.ndarray,
    width_px: int = 192,
    framed: Sequence[tuple[float, float, float, float]] | None = None,
    floor: float = FLOOR,
) -> Image.Image:
    """The image darkened except where `weights` (rows, columns) are high.

    Args:
        framed: boxes to frame, (left, top, right, bottom) as parts of the image; the best patch, if none are given.
        floor: how much of the image still shows where nothing counts.
    """
    height_px = round(width_px * image.height / image.width)
    spread = weights.max() - weights.min()
    heat = ((weights - weights.min()) / (spread or 1.0)) ** 2
    mask = Image.fromarray(np.uint8(255 * heat)).resize((width_px, height_px), Image.Resampling.BICUBIC)
    lit = floor + (1 - floor) * np.asarray(mask, dtype=np.float64)[..., None] / 255
    pixels = np.asarray(enlarge(image, width_px), dtype=np.float64)
    result = Image.fromarray(np.uint8(pixels * lit + SHADE * (1 - lit)))
    for left, top, right, bottom in framed if framed is not None else [best_patch(weights)]:
        box = (left * width_px, top * height_px, right * width_px, bottom * height_px)
        ImageDraw.Draw(result).rectangle(box, outline=FRAME, width=2)
    return result


def best_patch(weights: np.ndarray) -> tuple[float, float, float, float]:
    rows, columns = weights.shape
    row, column = np.unravel_index(weights.argmax(), weights.shape)
    return column / columns, row / rows, (column + 1) / columns, (row + 1) / rows


def enlarge(image: Image.Image, width_px: int = 192) -> Image.Image:
    height_px = round(width_px * image.height / image.width)
    return image.convert("RGB").resize((width_px, height_px), Image.Resampling.LANCZOS)
