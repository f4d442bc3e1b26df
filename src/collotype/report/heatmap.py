"""Where a model looked: a picture lit by its patches' weights."""

import numpy as np
from PIL import Image, ImageDraw

SHADE = np.array([18.0, 22.0, 48.0])
"""The colour of a patch that does not count at all."""
FRAME = (232, 62, 38)
FLOOR = 0.12
"""How much of the picture still shows where nothing counts."""


def light_up(picture: Image.Image, weights: np.ndarray, width_px: int = 192) -> Image.Image:
    """The picture darkened except where `weights` (rows, columns) are high, with the best patch framed."""
    height_px = round(width_px * picture.height / picture.width)
    spread = weights.max() - weights.min()
    heat = ((weights - weights.min()) / (spread or 1.0)) ** 2
    mask = Image.fromarray(np.uint8(255 * heat)).resize((width_px, height_px), Image.Resampling.BICUBIC)
    lit = FLOOR + (1 - FLOOR) * np.asarray(mask, dtype=np.float64)[..., None] / 255
    pixels = np.asarray(enlarge(picture, width_px), dtype=np.float64)
    result = Image.fromarray(np.uint8(pixels * lit + SHADE * (1 - lit)))
    row, column = np.unravel_index(weights.argmax(), weights.shape)
    down, across = height_px / weights.shape[0], width_px / weights.shape[1]
    box = (column * across, row * down, (column + 1) * across, (row + 1) * down)
    ImageDraw.Draw(result).rectangle(box, outline=FRAME, width=2)
    return result


def enlarge(picture: Image.Image, width_px: int = 192) -> Image.Image:
    height_px = round(width_px * picture.height / picture.width)
    return picture.convert("RGB").resize((width_px, height_px), Image.Resampling.LANCZOS)
