"""PDF documents page by page, through pdfium: pictures, text layer, outline.

pdfium is not thread-safe: one process, one thread. Pages count from 0, sizes are in pixels.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument


def open_pdf(path: Path) -> "PdfDocument":
    """The document; its pages are read when they are asked for.

    Raises:
        UserError: no such file, or it is no PDF, wants a password, or has no pages.
    """
    import pypdfium2

    if not Path(path).is_file():
        raise UserError(f"There is no PDF {path}; check the path.")
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise UserError(f"The PDF {path} is encrypted and wants a password; save it without one.") from error
        raise UserError(f"The PDF {path} cannot be read ({error}); copy or export it again.") from error
    if len(document) == 0:
        raise UserError(f"The PDF {path} has no pages; leave it out.")
    return document


def rendered_size(document: "PdfDocument", page: int, longest_px: int) -> tuple[int, int]:
    """(width, height) of the picture that `render` makes."""
    width, height = document.get_page_size(page)
    scale = longest_px / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def render(document: "PdfDocument", page: int, longest_px: int) -> Image.Image:
    """The page as an RGB picture whose longer side has `longest_px`.

    Raises:
        UserError: the page is damaged.
    """
    import pypdfium2

    try:
        loaded = document[page]
        scale = longest_px / max(loaded.get_size())
        picture = loaded.render(scale=scale).to_pil().convert("RGB")
        loaded.close()
    except pypdfium2.PdfiumError as error:
        raise UserError(f"Page {page + 1} of a PDF cannot be drawn ({error}); export the document again.") from error
    size = rendered_size(document, page, longest_px)
    # pdfium rounds up, which may be a pixel more
    return picture if picture.size == size else picture.crop((0, 0, *size))


def text(document: "PdfDocument", page: int) -> str:
    """The page's text layer, lines ended by newlines; empty where it has none."""
    loaded = document[page]
    layer = loaded.get_textpage()
    found = layer.get_text_bounded().replace("\r\n", "\n")
    layer.close()
    loaded.close()
    return found


def outline(document: "PdfDocument") -> list[tuple[int, str, int]]:
    """(level from 0, title, page) of every entry that leads to a page, in the document's order."""
    entries = []
    for mark in document.get_toc():
        place = mark.get_dest()
        if place is not None and place.get_index() is not None:
            entries.append((mark.level, mark.get_title().strip(), place.get_index()))
    return entries
