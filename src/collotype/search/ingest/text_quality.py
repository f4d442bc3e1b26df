"""Decides whether to use a page's text layer or OCR."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from collotype.runtime import pdf_page
from collotype.runtime.pdf import Box, Word

NO_TEXT = 0.2
"""From this part on of a page's characters that are none, its words with such are dropped and its image is read."""
IMAGE, LITTLE = 1 / 3, 0.1
"""A page is read off its image where images cover this part of it, and words less than this of them."""
CELLS = 128
"""Along each side of the grid that this is counted on."""


def believed(path: Path, page: int, words: Sequence[Word]) -> list[Word]:
    """The words that are text: all of them, unless a large part of the layer's characters is none."""
    layer = pdf_page.layer(path, page)
    if len(layer.unknown) < NO_TEXT * max(1, layer.characters):
        return list(words)
    return [word for word in words if inside(layer.unknown, word[1]) < len(word[0]) / 2]


def inside(points: np.ndarray, box: Box) -> int:
    return int(((points >= box[:2]) & (points <= box[2:])).all(axis=1).sum())


def has_unread_images(path: Path, page: int, words: Sequence[Word]) -> bool:
    """Is a large part of the page images with hardly a word on them?"""
    on_words = grid([word[1] for word in words])
    # most pages have more words, and their objects need not be looked through
    if on_words.mean() > 1 - IMAGE:
        return False
    on_images = grid([one.box for one in pdf_page.drawn(path, page)])
    return bool(on_images.mean() >= IMAGE and (on_words & on_images).sum() < LITTLE * on_images.sum())


def grid(boxes: Sequence[Box]) -> np.ndarray:
    """Which cells of the page have their middle in one of the boxes, bool [CELLS, CELLS]."""
    found = np.zeros((CELLS, CELLS), bool)
    for left, top, right, bottom in np.rint(np.array(boxes).reshape(-1, 4) * CELLS).astype(int).tolist():
        found[top:bottom, left:right] = True
    return found
