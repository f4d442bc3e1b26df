"""Where on the page a query word matched: the patches lit by their similarity."""

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

SHADE = np.array([18.0, 22.0, 48.0])
"""The colour of a patch that does not match at all."""
FRAME = (232, 62, 38)
FLOOR = 0.12
"""How much of the page still shows where nothing matches."""


def similarity_map(word_vector: Tensor, patch_vectors: Tensor, grid: tuple[int, int]) -> np.ndarray:
    """Similarities of one query vector [D] to the vectors that look at the picture [rows * columns, D], by place."""
    return (patch_vectors @ word_vector).reshape(grid).numpy()


def light_up(page: Image.Image, similarities: np.ndarray, width_px: int = 192) -> Image.Image:
    """The page darkened except where `similarities` (rows, columns) are high, with the best patch framed."""
    height_px = round(width_px * page.height / page.width)
    spread = similarities.max() - similarities.min()
    heat = ((similarities - similarities.min()) / (spread or 1.0)) ** 2
    mask = Image.fromarray(np.uint8(255 * heat)).resize((width_px, height_px), Image.Resampling.BICUBIC)
    lit = FLOOR + (1 - FLOOR) * np.asarray(mask, dtype=np.float64)[..., None] / 255
    pixels = np.asarray(enlarge(page, width_px), dtype=np.float64)
    picture = Image.fromarray(np.uint8(pixels * lit + SHADE * (1 - lit)))
    row, column = np.unravel_index(similarities.argmax(), similarities.shape)
    down, across = height_px / similarities.shape[0], width_px / similarities.shape[1]
    box = (column * across, row * down, (column + 1) * across, (row + 1) * down)
    ImageDraw.Draw(picture).rectangle(box, outline=FRAME, width=2)
    return picture


def enlarge(page: Image.Image, width_px: int = 192) -> Image.Image:
    height_px = round(width_px * page.height / page.width)
    return page.convert("RGB").resize((width_px, height_px), Image.Resampling.LANCZOS)
