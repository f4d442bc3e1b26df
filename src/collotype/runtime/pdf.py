"""PDFs through pypdfium2: pages as pictures, their text, the outline. Pages are numbered from 1, as a reader counts."""

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from PIL import Image
    from pypdfium2 import PdfDocument, PdfPage

OPEN_AT_ONCE = 8

_one_at_a_time = threading.RLock()
"""PDFium may be called by one thread of a process at a time."""


@lru_cache(maxsize=1)
def _pdfium() -> ModuleType:
    """The library, which complains on stderr of documents that are open when Python ends."""
    import pypdfium2

    atexit.register(lambda: _document.cache_clear())
    return pypdfium2


@lru_cache(maxsize=OPEN_AT_ONCE)
def _document(path: Path, process: int) -> "PdfDocument":
    """`process` is in the key because a forked loader process must not share the place in the file with its parent."""
    pdfium = _pdfium()
    try:
        document = pdfium.PdfDocument(path)
        if len(document):
            return document
    except OSError as error:
        raise UserError(f"There is no PDF {path}; check the path.") from error
    except pdfium.PdfiumError as error:
        # the library's reason is that of the last file for which it had one
        if b"/Encrypt" in path.read_bytes():
            raise UserError(
                f"{path} is encrypted; save it without its password (`qpdf --decrypt`), or leave it out."
            ) from error
    raise UserError(f"{path} is no whole PDF with pages; replace it or leave it out.")


@contextmanager
def _opened(path: Path) -> Iterator["PdfDocument"]:
    with _one_at_a_time:
        try:
            yield _document(path, os.getpid())
        except _pdfium().PdfiumError as error:
            raise UserError(f"{path} is damaged ({error}); replace it or leave it out.") from error


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
            raise UserError(f"{path}, page {page} cannot be rendered ({error}); leave it out.") from error
    # pdfium rounds up, which may be a pixel more
    return picture if picture.size == size else picture.crop((0, 0, *size))


def text(path: Path, page: int) -> str:
    """The page's text layer, lines ended by newlines; a scan has none."""
    with _leaf(path, page) as leaf:
        layer = leaf.get_textpage()
        found = layer.get_text_bounded().replace("\r\n", "\n")
        layer.close()
    return found


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
