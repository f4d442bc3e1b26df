"""A PDF page apart from its text: label, images, invalid characters, attached files."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from collotype.runtime import pdf
from collotype.runtime.text_layer import address, fast

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

POINTS = 72
"""An inch."""
MAX_LABEL = 64
DEEPEST, MOST_OBJECTS = 8, 200_000
"""Drawings within drawings, and objects of a page, that are looked through for images."""
PRIVATE = ((0xE000, 0xF900), (0xF0000, 0x110000))
REPLACEMENT, DELETE, SPACES, HYPHEN = 0xFFFD, 0x7F, (0x09, 0x0A, 0x0D, 0x20, 0xA0), 2
"""Codes; 2 is what PDFium makes of a hyphen at the end of a line."""
ONE_CODE, ENOUGH = 0.95, 20
"""A layer of that many characters and more is no text, if this part of them is one and the same."""


@dataclass(frozen=True)
class LayerFacts:
    """What PDFium says of a page's characters."""

    characters: int
    """Those that are seen."""
    unknown: np.ndarray
    """(x, y) of those that are no text (not mapped to Unicode, private, U+FFFD), as parts of the image [n, 2]."""


def layer(path: Path, page: int) -> LayerFacts:
    """How much of the page's text layer is none."""
    raw = pdf._pdfium().raw
    with pdf._leaf(path, page) as leaf:
        text = pdf.text_page(leaf)
        count, (code_of, _, unmapped), of = max(0, text.count_chars()), fast(), address(text)
        codes = np.array([code_of(of, place) for place in range(count)], np.int64)
        seen = ~np.isin(codes, SPACES)
        bad = seen & _no_text(codes)
        asked = np.flatnonzero(seen & ~bad)
        bad[asked] = [unmapped(of, place) == 1 for place in asked.tolist()]
        if seen.sum() >= ENOUGH and np.bincount(codes[seen] % (2**20)).max() >= ONE_CODE * seen.sum():
            bad = seen
        unknown = _middles(text, np.flatnonzero(bad), raw)
        to_image = pdf._to_image(leaf) if len(unknown) else np.zeros((2, 3))
    return LayerFacts(int(seen.sum()), unknown @ to_image[:, :2].T + to_image[:, 2])


def _no_text(codes: np.ndarray) -> np.ndarray:
    private = np.zeros(len(codes), bool)
    for first, end in PRIVATE:
        private |= (codes >= first) & (codes < end)
    private |= (codes == REPLACEMENT) | ((codes < SPACES[3]) & (codes != HYPHEN)) | (codes == DELETE)
    return private


def _middles(text: Any, places: np.ndarray, raw: Any) -> np.ndarray:
    sides = [ctypes.c_double() for _ in range(4)]
    found = np.zeros((len(places), 2))
    for row, place in enumerate(places.tolist()):
        if raw.FPDFText_GetCharBox(text, place, *sides):
            left, right, bottom, top = (side.value for side in sides)
            found[row] = (left + right) / 2, (bottom + top) / 2
    return found


def label(path: Path, page: int) -> str:
    """What the document itself calls the page ("iv", "A-3"); nothing where it has no name for it, or its number."""
    with pdf._opened(path) as document:
        try:
            own = document.get_page_label(page - 1)
        except (UnicodeDecodeError, ValueError):
            return ""
    own = " ".join(own.split())
    return "" if own == str(page) else own[:MAX_LABEL]


def inches(path: Path, page: int) -> tuple[float, float]:
    """The page's (width, height)."""
    with pdf._leaf(path, page) as leaf:
        wide, high = leaf.get_size()
    return wide / POINTS, high / POINTS


@dataclass(frozen=True)
class Drawn:
    """An image that a page shows."""

    box: tuple[float, float, float, float]
    """As parts of the page."""
    dpi: float


def drawn(path: Path, page: int) -> list[Drawn]:
    """The page's images, also those in drawings it shows, cut to the page."""
    with pdf._leaf(path, page) as leaf:
        to_image = np.vstack([pdf._to_image(leaf), [0, 0, 1]])
        found = []
        for matrix, pixels in _images(leaf):
            corners = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]]) @ (to_image @ matrix).T[:, :2]
            low, high = np.clip(corners.min(axis=0), 0, 1), np.clip(corners.max(axis=0), 0, 1)
            across = np.hypot(*matrix[:2, 0]) / POINTS
            if (high > low).all() and across > 0:
                found.append(Drawn((*low.tolist(), *high.tolist()), pixels / across))
    return found


def _images(leaf: "PdfPage") -> Iterator[tuple[np.ndarray, int]]:
    """Of each image the matrix [3, 3] from the unit square to the page, and how many pixels wide it is."""
    raw = pdf._pdfium().raw
    left = [MOST_OBJECTS]

    def inside(count: int, get: Any, holder: Any, above: np.ndarray, depth: int) -> Iterator[tuple[np.ndarray, int]]:
        for place in range(min(count, left[0])):
            left[0] -= 1
            one = get(holder, place)
            kind = raw.FPDFPageObj_GetType(one)
            if kind == raw.FPDF_PAGEOBJ_IMAGE:
                wide, high = ctypes.c_uint(), ctypes.c_uint()
                raw.FPDFImageObj_GetImagePixelSize(one, wide, high)
                yield above @ _matrix(one, raw), wide.value
            elif kind == raw.FPDF_PAGEOBJ_FORM and depth < DEEPEST:
                below = raw.FPDFFormObj_CountObjects(one)
                yield from inside(below, raw.FPDFFormObj_GetObject, one, above @ _matrix(one, raw), depth + 1)

    yield from inside(raw.FPDFPage_CountObjects(leaf), raw.FPDFPage_GetObject, leaf, np.eye(3), 0)


def _matrix(one: Any, raw: Any) -> np.ndarray:
    found = raw.FS_MATRIX()
    raw.FPDFPageObj_GetMatrix(one, found)
    return np.array([[found.a, found.c, found.e], [found.b, found.d, found.f], [0, 0, 1]])


def attachments(path: Path, most: int) -> list[str]:
    """Names of the files attached to the document, `most` of them."""
    with pdf._opened(path) as document:
        count = min(document.count_attachments(), most)
        return [document.get_attachment(place).get_name() for place in range(count)]


def attachment(path: Path, place: int) -> bytes:
    """The content of the attached file at this place, from 0."""
    with pdf._opened(path) as document:
        return bytes(document.get_attachment(place).get_data())
