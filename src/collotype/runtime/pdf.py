"""PDFs through pypdfium2: pages as images, their text, the outline. Pages are numbered from 1, as a reader counts."""

import atexit
import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from collotype.runtime.actual_text import whole_spans
from collotype.runtime.annotations import flatten
from collotype.runtime.errors import UserError
from collotype.runtime.layers import without_hidden_layers
from collotype.runtime.reading_order import reading_order
from collotype.runtime.terms import normalised, spans
from collotype.runtime.text_layer import CLUSTERS, Characters, Places, read_characters

if TYPE_CHECKING:
    from PIL import Image
    from pypdfium2 import PdfBookmark, PdfDocument, PdfPage, PdfTextPage

OPEN_AT_ONCE = 8
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

    atexit.register(lambda: (_open_page.close(), _document.cache_clear()))
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
        document.init_forms()
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
        return pdfium.PdfDocument(without_hidden_layers(path) or path)
    except pdfium.PdfiumError:
        for password in passwords:
            with suppress(pdfium.PdfiumError):
                return pdfium.PdfDocument(without_hidden_layers(path, password) or path, password=password)
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
        yield _open_page.of(document, page)


class OpenPage:
    """The page that was asked for last: its words, its size and its images are asked for one after the other."""

    def __init__(self) -> None:
        self.at: tuple[PdfDocument, int] | None = None
        self.leaf: PdfPage | None = None
        self.text: PdfTextPage | None = None

    def of(self, document: "PdfDocument", page: int) -> "PdfPage":
        if self.leaf is None or self.at != (document, page):
            self.close()
            leaf = document[page - 1]
            if flatten(leaf):
                leaf.close()
                leaf = document[page - 1]
            self.at, self.leaf = (document, page), leaf
        return self.leaf

    def close(self) -> None:
        for one in (self.text, self.leaf):
            if one:
                one.close()
        self.at = self.leaf = self.text = None


_open_page = OpenPage()


def text_page(leaf: "PdfPage") -> "PdfTextPage":
    """Of the page that is open; it is closed with it."""
    _open_page.text = _open_page.text or leaf.get_textpage()
    return _open_page.text


def rendered_size(path: Path, page: int, longest_px: int) -> tuple[int, int]:
    """(width, height) in pixels of the image that `render` makes."""
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
            image = leaf.render(scale=longest_px / max(leaf.get_size())).to_pil().convert("RGB")
        except ValueError as error:
            raise PdfError(DAMAGED, f"{path}, page {page} cannot be rendered ({error}); leave it out.") from error
    # pdfium rounds up, which may be a pixel more
    return image if image.size == size else image.crop((0, 0, *size))


Box = tuple[float, float, float, float]
"""(left, top, right, bottom) as parts of the image's width and height, from its top left corner."""
Word = tuple[str, Box] | tuple[str, Box, list[Box]]
"""A word and its box; and the boxes of its characters, where they are not spread over it from left to right as evenly
as the letters of a line of print (turned text, right-to-left text, columns from top to bottom)."""


def text(path: Path, page: int) -> str:
    """The page's words with spaces between them, its lines ended by newlines; a scan has none."""
    return "\n".join(" ".join(word[0] for word in line) for line in _lines(path, page, MAX_CHARACTERS))


def words(path: Path, page: int, max_characters: int = MAX_CHARACTERS) -> list[Word]:
    """The text layer's words in reading order, each with its box on the image that `render` makes.

    A word is what stands between spaces; what the page's edge cuts off is not shown, and so is no word.

    Raises:
        UserError: the page has more than `max_characters`.
    """
    return [word for line in _lines(path, page, max_characters) for word in line]


def _lines(path: Path, page: int, max_characters: int) -> list[list[Word]]:
    with _leaf(path, page) as leaf:
        layer = text_page(leaf)
        if layer.count_chars() > max_characters:
            raise PdfError(
                TOO_MUCH_TEXT,
                f"{path}, page {page} has {layer.count_chars():,} characters, more than the {max_characters:,} a "
                "page may have; leave it out.",
            )
        characters = read_characters(layer)
        if CLUSTERS.search(characters.text):
            characters = whole_spans(characters)
        lines = reading_order(characters)
        try:
            to_image = _to_image(leaf)
        except np.linalg.LinAlgError as error:
            raise PdfError(DAMAGED, f"{path}, page {page} has no area; leave it out.") from error
        return _on_image(characters, lines, to_image, leaf.get_size())


def _on_image(
    characters: Characters, lines: list[list[Places]], to_image: np.ndarray, size: tuple[float, float]
) -> list[list[Word]]:
    """Words with their boxes, where they have one and it is on the image."""
    corners = characters.boxes.reshape(-1, 2, 2) @ to_image[:, :2].T + to_image[:, 2]
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    empty = (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    boxes[empty] = np.inf, np.inf, -np.inf, -np.inf
    found = []
    for line in lines:
        around = _around(boxes, line)
        shown = (around[:, :2] < 1).all(axis=1) & (around[:, 2:] > 0).all(axis=1) & (around[:, 2] > around[:, 0])
        of_line = []
        for places, box, is_shown in zip(line, np.clip(around, 0, 1).tolist(), shown.tolist(), strict=True):
            if is_shown:
                word, own = characters.word(places), ()
                if not (word.isascii() and word.isalnum()):
                    own = _uneven(word, boxes[places], np.array(box), np.array(size * 2))
                of_line.append((word, tuple(box), own) if own else (word, tuple(box)))
        if of_line:
            found.append(of_line)
    return found


def _around(boxes: np.ndarray, line: list[Places]) -> np.ndarray:
    """The box around each word of a line, [words, 4]."""
    ends = np.cumsum([len(places) for places in line])
    of = boxes[np.concatenate([np.arange(p.start, p.stop) if isinstance(p, range) else p for p in line])]
    starts = [0, *ends[:-1]]
    return np.concatenate(
        [np.minimum.reduceat(of[:, :2], starts, axis=0), np.maximum.reduceat(of[:, 2:], starts, axis=0)], axis=1
    )


def _uneven(word: str, boxes: np.ndarray, box: np.ndarray, size: np.ndarray) -> list[Box]:
    """The characters' boxes, if the word has parts that would not lie right without them."""
    if len(list(spans(normalised(word)))) < 2:
        return []
    boxes, has = boxes.copy(), boxes[:, 2] > boxes[:, 0]
    for place in np.flatnonzero(~has):
        boxes[place] = boxes[place - 1] if place else box
    boxes = np.clip(boxes, 0, 1)
    letter = (boxes[has, 2:] - boxes[has, :2]) * size[:2]
    across = (np.arange(len(word)) + 0.5) / len(word)
    even = box[:2] + (box[2:] - box[:2]) * np.stack([across, np.full(len(word), 0.5)], axis=1)
    off = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - even)[has] * size[:2]
    return [tuple(own) for own in boxes.tolist()] if off.max() > letter.max() / 2 else []


def _to_image(leaf: "PdfPage") -> np.ndarray:
    """[2, 3]: points of the page to parts of its image, as pdfium turns and cuts it."""
    raw, far = _pdfium().raw, 2**30
    x, y = ctypes.c_double(), ctypes.c_double()

    def point(across: int, down: int) -> np.ndarray:
        raw.FPDF_DeviceToPage(leaf, 0, 0, far, far, 0, across, down, x, y)
        return np.array([x.value, y.value])

    origin = point(0, 0)
    turned = np.stack([point(far, 0) - origin, point(0, far) - origin], axis=1)
    inverse = np.linalg.inv(turned)
    return np.concatenate([inverse, -(inverse @ origin)[:, None]], axis=1)


def _stays_here(bookmark: "PdfBookmark") -> bool:
    """Does it lead to a page of its own document? PDFium gives those into other files a page of this one."""
    raw = _pdfium().raw
    action = raw.FPDFBookmark_GetAction(bookmark)
    return not action or raw.FPDFAction_GetType(action) == raw.PDFACTION_GOTO


def outline(path: Path) -> list[tuple[int, str, int]]:
    """(level from 0, title, page) of the bookmarks that lead to a page of this document, in their order."""
    with _opened(path) as document:
        entries = []
        for bookmark in document.get_toc():
            target = bookmark.get_dest() if _stays_here(bookmark) else None
            place = target.get_index() if target else None
            if place is not None and 0 <= place < len(document):
                entries.append((bookmark.level, bookmark.get_title().strip(), place + 1))
        return entries
