"""PDFs through pypdfium2: pages as pictures, their text, the outline. Pages are numbered from 1, as a reader counts."""

import atexit
import ctypes
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from PIL import Image
    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage

OPEN_AT_ONCE = 8
SPACE = 0x20
MAX_CHARACTERS = 2**20
"""Of a page's text layer."""

DAMAGED, ENCRYPTED, TOO_MUCH_TEXT = "damaged, or no PDF", "encrypted", "too much text"


class PdfError(UserError):
    """A PDF, or a page of one, that cannot be had.

    Args:
        cause: in a few words, the same for all files that have it.
    """

    def __init__(self, cause: str, message: str):
        super().__init__(message)
        self.cause = cause


passwords: list[str] = []
"""Tried in turn on every PDF that has one, for as long as the process runs."""

_one_at_a_time = threading.RLock()
"""PDFium may be called by one thread of a process at a time."""


@lru_cache(maxsize=1)
def _pdfium() -> ModuleType:
    """The library, which complains on stderr of documents that are open when Python ends."""
    import pypdfium2

    atexit.register(lambda: _document.cache_clear())
    return pypdfium2


def load_library() -> None:
    """Loads the library now, which is otherwise done with the first file."""
    _pdfium()


@lru_cache(maxsize=OPEN_AT_ONCE)
def _document(path: Path, process: int, written: tuple[int, int] | None) -> "PdfDocument":
    """`process` is in the key because a forked loader process must not share the place in the file with its parent,
    `written` because a file may be replaced."""
    pdfium = _pdfium()
    try:
        document = _unlocked(path)
        if len(document):
            return document
    except OSError as error:
        raise UserError(f"There is no PDF {path}; check the path.") from error
    except pdfium.PdfiumError as error:
        # the library's reason is that of the last file for which it had one
        if b"/Encrypt" in path.read_bytes():
            raise PdfError(
                ENCRYPTED, f"{path} is encrypted; give its password with --password-file, or leave it out."
            ) from error
    raise PdfError(DAMAGED, f"{path} is no whole PDF with pages; replace it or leave it out.")


def _unlocked(path: Path) -> "PdfDocument":
    """Opened without a password, or with the first that fits."""
    pdfium = _pdfium()
    try:
        return pdfium.PdfDocument(path)
    except pdfium.PdfiumError:
        for password in passwords:
            with suppress(pdfium.PdfiumError):
                return pdfium.PdfDocument(path, password=password)
        raise


def _written(path: Path) -> tuple[int, int] | None:
    """When the file was last written, and its size."""
    try:
        of = path.stat()
    except OSError:
        return None
    return of.st_mtime_ns, of.st_size


@contextmanager
def _opened(path: Path) -> Iterator["PdfDocument"]:
    with _one_at_a_time:
        try:
            yield _document(path, os.getpid(), _written(path))
        except _pdfium().PdfiumError as error:
            raise PdfError(DAMAGED, f"{path} is damaged ({error}); replace it or leave it out.") from error


def num_pages(path: Path) -> int:
    """How many pages the PDF has.

    Raises:
        UserError: it is missing, encrypted, empty or no PDF, as everywhere in this module.
    """
    with _opened(path) as document:
        return len(document)


@contextmanager
def _leaf(path: Path, page: int) -> Iterator["PdfPage"]:
    with _opened(path) as document:
        if not 1 <= page <= len(document):
            raise UserError(f"{path} has no page {page}; it has {len(document)}, counted from 1.")
        leaf = document[page - 1]
        try:
            yield leaf
        finally:
            leaf.close()


def rendered_size(path: Path, page: int, longest_px: int) -> tuple[int, int]:
    """(width, height) in pixels of the picture that `render` makes."""
    with _leaf(path, page) as leaf:
        return _fitted(leaf.get_size(), longest_px)


def _fitted(size: tuple[float, float], longest_px: int) -> tuple[int, int]:
    scale = longest_px / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def render(path: Path, page: int, longest_px: int) -> "Image.Image":
    """The page on white paper, RGB, its longest edge `longest_px` pixels.

    Raises:
        UserError: there is no such page.
    """
    with _leaf(path, page) as leaf:
        try:
            size = _fitted(leaf.get_size(), longest_px)
            picture = leaf.render(scale=longest_px / max(leaf.get_size())).to_pil().convert("RGB")
        except ValueError as error:
            raise PdfError(DAMAGED, f"{path}, page {page} cannot be rendered ({error}); leave it out.") from error
    # pdfium rounds up, which may be a pixel more
    return picture if picture.size == size else picture.crop((0, 0, *size))


def text(path: Path, page: int) -> str:
    """The page's text layer, lines ended by newlines; a scan has none."""
    with _leaf(path, page) as leaf:
        layer = leaf.get_textpage()
        found = layer.get_text_bounded().replace("\r\n", "\n")
        layer.close()
    return found


Box = tuple[float, float, float, float]
"""(left, top, right, bottom) as parts of the picture's width and height, from its top left corner."""


def words(path: Path, page: int, max_characters: int = MAX_CHARACTERS) -> list[tuple[str, Box]]:
    """The text layer's words in reading order, each with its box on the picture that `render` makes.

    A word is what stands between spaces; what the page's edge cuts off is not shown, and so is no word.

    Raises:
        UserError: the page has more than `max_characters`.
    """
    with _leaf(path, page) as leaf:
        layer = leaf.get_textpage()
        try:
            if layer.count_chars() > max_characters:
                raise PdfError(
                    TOO_MUCH_TEXT,
                    f"{path}, page {page} has {layer.count_chars():,} characters, more than the {max_characters:,} a "
                    "page may have; leave it out.",
                )
            characters, boxes = _characters(layer)
        finally:
            layer.close()
        try:
            to_picture = _to_picture(leaf)
        except np.linalg.LinAlgError as error:
            raise PdfError(DAMAGED, f"{path}, page {page} has no area; leave it out.") from error
    boxes = boxes @ to_picture[:, :2].T + to_picture[:, 2]
    corners = np.concatenate([boxes.min(axis=1), boxes.max(axis=1)], axis=1)
    found = []
    for match in re.finditer(r"\S+", characters):
        of = corners[match.start() : match.end()]
        of = of[(of[:, 2] > of[:, 0]) & (of[:, 3] > of[:, 1])]
        if not len(of):
            continue
        left, top, right, bottom = (*of[:, :2].min(axis=0), *of[:, 2:].max(axis=0))
        if left < 1 and top < 1 and right > 0 and bottom > 0:
            found.append((match[0], tuple(float(side) for side in np.clip((left, top, right, bottom), 0, 1))))
    return found


def _characters(layer: "PdfTextPage") -> tuple[str, np.ndarray]:
    """The layer's characters, one a place, and of each two corners in points, [n, 2, 2]; zeros where it has no box."""
    raw = _pdfium().raw
    codes, sides = [], [ctypes.c_double() for _ in range(4)]
    number = max(0, layer.count_chars())
    corners = np.zeros((number, 2, 2))
    for place in range(number):
        code = raw.FPDFText_GetUnicode(layer, place)
        codes.append(code)
        if code > SPACE and raw.FPDFText_GetCharBox(layer, place, *sides):
            left, right, bottom, top = (side.value for side in sides)
            corners[place] = (left, bottom), (right, top)
    return "".join(map(_character, codes)), corners


def _character(code: int) -> str:
    """A space for what is no character: controls, halves of surrogate pairs, U+FFFE for a hyphen at a line's end."""
    sound = code > SPACE and not 0xD800 <= code < 0xE000 and code not in (0xFFFE, 0xFFFF) and code <= sys.maxunicode
    return chr(code) if sound else " "


def _to_picture(leaf: "PdfPage") -> np.ndarray:
    """[2, 3]: points of the page to parts of its picture, as pdfium turns and cuts it."""
    raw, far = _pdfium().raw, 2**30
    x, y = ctypes.c_double(), ctypes.c_double()

    def point(across: int, down: int) -> np.ndarray:
        raw.FPDF_DeviceToPage(leaf, 0, 0, far, far, 0, across, down, x, y)
        return np.array([x.value, y.value])

    origin = point(0, 0)
    turned = np.stack([point(far, 0) - origin, point(0, far) - origin], axis=1)
    inverse = np.linalg.inv(turned)
    return np.concatenate([inverse, -(inverse @ origin)[:, None]], axis=1)


def outline(path: Path) -> list[tuple[int, str, int]]:
    """(level from 0, title, page) of the bookmarks that lead to a page of this document, in their order."""
    with _opened(path) as document:
        entries = []
        for bookmark in document.get_toc():
            target = bookmark.get_dest()
            place = target.get_index() if target else None
            if place is not None and 0 <= place < len(document):
                entries.append((bookmark.level, bookmark.get_title().strip(), place + 1))
        return entries
