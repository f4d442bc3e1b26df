"""PDFs through pypdfium2: pages as images, their text, the outline. Pages are numbered from 1, as a reader counts."""

import atexit
import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from collotype.runtime.actual_text import whole_spans
from collotype.runtime.annotations import flatten
from collotype.runtime.errors import UserError
from collotype.runtime.optional_content import without_hidden_layers
from collotype.runtime.reading_order import reading_order
from collotype.runtime.terms import normalised, spans
from collotype.runtime.text_layer import CLUSTERS, Characters, Places, direction, read_characters

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
def _pdfium() -> Any:
    """The library, which complains on stderr of documents that are open when Python ends."""
    import pypdfium2

    atexit.register(_document.cache_clear)
    atexit.register(_open_page.close)
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
    raise PdfError(DAMAGED, f"{path} is not a complete PDF with pages; replace it or leave it out.")


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
            raise UserError(f"{path} has no page {page}; it has {len(document)} pages, counted from 1.")
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
    _open_page.text = _open_page.text or _upright_text(leaf)
    return _open_page.text


def _upright_text(leaf: "PdfPage") -> "PdfTextPage":
    """PDFium looks for words and lines on the page as it is shown: here, so that most of it runs to the right."""
    text, shown = leaf.get_textpage(), leaf.get_rotation()
    upright = direction(text)
    if upright in (None, shown):
        return text
    text.close()
    leaf.set_rotation(upright)
    try:
        return leaf.get_textpage()
    finally:
        leaf.set_rotation(shown)


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
            image: Image.Image = leaf.render(scale=longest_px / max(leaf.get_size())).to_pil().convert("RGB")
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
                f"{path}, page {page} has {layer.count_chars():,} characters, more than the limit of "
                f"{max_characters:,}; leave it out.",
            )
        characters = read_characters(layer)
        if CLUSTERS.search(characters.text):
            characters = whole_spans(characters)
        lines = reading_order(characters)
        try:
            to_image = _to_image(leaf)
        except np.linalg.LinAlgError as error:
            raise PdfError(DAMAGED, f"{path}, page {page} has a width or height of 0; leave it out.") from error
        return _on_image(characters, lines, to_image, leaf.get_size())


def _on_image(
    characters: Characters, lines: list[list[Places]], to_image: np.ndarray, size: tuple[float, float]
) -> list[list[Word]]:
    """Words with their boxes, where they have one and it is on the image."""
    words = [places for line in lines for places in line]
    if not words:
        return []
    corners = characters.boxes.reshape(-1, 2, 2) @ to_image[:, :2].T + to_image[:, 2]
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    empty = (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    boxes[empty] = np.inf, np.inf, -np.inf, -np.inf
    of_words = boxes[[place for places in words for place in places]]
    starts = np.cumsum([0, *map(len, words)])
    low, high = (
        side.reduceat(part, starts[:-1], axis=0)
        for side, part in ((np.minimum, of_words[:, :2]), (np.maximum, of_words[:, 2:]))
    )
    shown = ((low < 1).all(axis=1) & (high > 0).all(axis=1) & (high[:, 0] > low[:, 0])).tolist()
    around = np.clip(np.concatenate([low, high], axis=1), 0, 1)
    uneven, rows = _uneven(of_words, around, starts, np.array(size)).tolist(), around.tolist()
    found, numbers = list[list[Word]](), count()
    for line in lines:
        of_line: list[Word] = []
        for places, row in zip(line, numbers, strict=False):
            if shown[row]:
                word = characters.word(places)
                parts = uneven[row] and not (word.isascii() and word.isalnum()) and _has_parts(word)
                own = (_own(of_words[starts[row] : starts[row + 1]], (*rows[row],)),) if parts else ()
                of_line.append((word, tuple(rows[row]), *own))
        if of_line:
            found.append(of_line)
    return found


def _uneven(boxes: np.ndarray, around: np.ndarray, starts: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Of which words parts would not lie right if their characters were spread evenly: bool [words].

    Args:
        boxes: of the characters of all words; `around`: of the words; `starts`: where those of each begin, and the end.
    """
    counts = np.diff(starts)
    across = (np.arange(len(boxes)) - np.repeat(starts[:-1], counts) + 0.5) / np.repeat(counts, counts)
    box, has = np.repeat(around, counts, axis=0), boxes[:, 2] > boxes[:, 0]
    own = np.clip(boxes, 0, 1)
    even = box[:, :2] + (box[:, 2:] - box[:, :2]) * np.stack([across, np.full(len(boxes), 0.5)], axis=1)
    off = np.abs((own[:, :2] + own[:, 2:]) / 2 - even) * size
    letter = (own[:, 2:] - own[:, :2]) * size
    most_off, largest = (np.maximum.reduceat(np.where(has, of.max(axis=1), 0), starts[:-1]) for of in (off, letter))
    return most_off > largest / 2


def _has_parts(word: str) -> bool:
    """Is it more than one term?"""
    return next(islice(spans(normalised(word)), 1, None), None) is not None


def _own(boxes: np.ndarray, box: Box) -> list[Box]:
    """The boxes of a word's characters, those without ink at the one before."""
    found: list[Box] = []
    for of, has in zip(np.clip(boxes, 0, 1).tolist(), (boxes[:, 2] > boxes[:, 0]).tolist(), strict=True):
        found.append((*of,) if has else found[-1] if found else box)
    return found


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
