"""Highlights the regions of a page image that match the query."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from collotype.report.heatmap import light_up
from collotype.search.match_regions import places
from collotype.search.pages import Box, EncodedPage, EncodedQuery

if TYPE_CHECKING:
    from PIL import Image

CELLS = 128
"""Along the longer side of a heatmap of words; one of patches has theirs."""
FLOOR = 0.45
"""How much of a page shows where nothing matches: it is still to be read."""
FRAMED = 0.6
"""The part of the best cosine from which on a word's own place is framed: below it, the word is hardly there."""


@dataclass(frozen=True)
class View:
    """A query and a page as one encoder sees them."""

    query: EncodedQuery
    page: EncodedPage
    patches: bool = False
    """Does it look at the patches of a grid, not at words?"""


def lit(image: "Image.Image", views: Sequence[View]) -> "Image.Image":
    """The image, dark where nothing matches, with a frame around the place of each word that was found.

    A model of a single vector a page knows no places: its image stays as it is.

    Args:
        views: of one encoder, or of several that search together: each place counts as for the one that it means most.
    """
    found = [heat(view.query, view.page, image.size, view.patches) for view in views]
    weights = together([one for one in found if one.any()])
    frames = [box for view in views for box in framed(view.query, view.page)]
    return light_up(image, weights, image.width, frames, FLOOR) if weights.any() else image


def together(heats: Sequence[np.ndarray]) -> np.ndarray:
    """Of several heatmaps the most at each place, each from its least to its most; one stays as it is."""
    if len(heats) < 2:
        return heats[0] if heats else np.zeros((1, 1), np.float32)
    rows, columns = (max(one.shape[axis] for one in heats) for axis in (0, 1))
    spread = [(one - one.min()) / max(float(np.ptp(one)), 1e-9) for one in heats]
    heat: np.ndarray = np.max(
        [one[cells(one.shape[0], rows)][:, cells(one.shape[1], columns)] for one in spread], axis=0
    )
    return heat


def cells(have: int, wanted: int) -> np.ndarray:
    """Which of `have` cells each of `wanted` lies in, along one side."""
    return np.arange(wanted) * have // wanted


def heat(query: EncodedQuery, page: EncodedPage, size: tuple[int, int], patches: bool = False) -> np.ndarray:
    """How well the query's words match at each place of a page of that (width, height): float32 [rows, columns].

    Of every vector its best word counts, by its cosine; places that no vector looks at have 0.
    """
    somewhere = ~np.isnan(page.boxes).any(axis=1)
    of_words = np.array(query.word_of) >= 0
    boxes = page.boxes[somewhere]
    rows, columns = _cells(boxes, size, patches)
    weights = np.zeros((rows, columns), np.float32)
    if len(boxes) and of_words.any():
        best = in_cosines(query).similarities(page)[of_words][:, somewhere].max(axis=0)
        edges = boxes * np.array([columns, rows, columns, rows])
        for weight, (left, top, right, bottom) in zip(best, edges, strict=True):
            # an edge on the border of a cell is not in it, whatever rounding did to it
            cells = weights[int(top + 1e-3) : math.ceil(bottom - 1e-3), int(left + 1e-3) : math.ceil(right - 1e-3)]
            np.maximum(cells, weight, out=cells)
    return weights


def _cells(boxes: np.ndarray, size: tuple[int, int], patches: bool) -> tuple[int, int]:
    """(rows, columns): those of the grid of patches, else of cells small enough for words."""
    if patches and len(boxes):
        columns, rows = np.rint(1 / np.median(boxes[:, 2:] - boxes[:, :2], axis=0)).astype(int)
        return int(rows), int(columns)
    columns, rows = (max(1, round(CELLS * side / max(size))) for side in size)
    return rows, columns


def framed(query: EncodedQuery, page: EncodedPage) -> list[Box]:
    """The places of the query's words that are on the page."""
    found = places(in_cosines(query), page)
    best = max((place.score for place in found), default=0.0)
    return [place.box for place in found if place.score >= FRAMED * best]


def in_cosines(query: EncodedQuery) -> EncodedQuery:
    """With vectors of unit length."""
    lengths = np.linalg.norm(query.vectors, axis=1, keepdims=True)
    return replace(query, vectors=query.vectors / np.maximum(lengths, 1e-9))
