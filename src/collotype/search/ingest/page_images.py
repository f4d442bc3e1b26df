"""Page images: small for encoding and display, large for OCR."""

from pathlib import Path
from typing import TYPE_CHECKING

from collotype.runtime import pdf, pdf_page
from collotype.runtime.images import decode, opaque, page_frames
from collotype.search.ingest.kinds import HEICS, PDF, ending

if TYPE_CHECKING:
    from PIL import Image

LEAST_DPI, USUAL_DPI, MOST_DPI = 100, 200, 300
"""At which a PDF's page is read: the resolution of its images between the outer two; the middle one without any."""
SCANNED_DPI = (100, 1300)
"""What an image file says of its resolution is believed between these: others are what programs put there."""
MOST_PIXELS = 2**25
"""Of an image that is read: A1 at 200 dpi."""
SQUARE = 1.05
"""Pixels are made square that are this many times as high as wide, or wide as high: those of a fax are."""


def is_pdf(path: Path) -> bool:
    return ending(path) == PDF


def num_pages(path: Path) -> int:
    """
    Raises:
        UserError: the file cannot be read.
    """
    return pdf.num_pages(path) if is_pdf(path) else len(_frames(path))


def image_of(path: Path, page: int, longest_px: int) -> "Image.Image":
    """A page in RGB; an image file is made smaller and never larger."""
    if is_pdf(path):
        return pdf.render(path, page, longest_px)
    image = _decoded(path, page)
    image.thumbnail((longest_px, longest_px))
    return image


def legible(path: Path, page: int) -> tuple["Image.Image", float]:
    """A page in RGB as large as it is read, and its resolution, 0 where it is not known."""
    if is_pdf(path):
        wide, high = pdf_page.inches(path, page)
        dpi = min(resolution(path, page), (MOST_PIXELS / (wide * high)) ** 0.5)
        return pdf.render(path, page, max(1, round(dpi * max(wide, high)))), dpi
    image = _decoded(path, page)
    dpi = float(image.info.get("dpi", (0,))[0] or 0)
    share = min(1.0, (MOST_PIXELS / (image.width * image.height)) ** 0.5)
    image.thumbnail(tuple(max(1, round(side * share)) for side in image.size))
    return image, dpi * share if SCANNED_DPI[0] <= dpi <= SCANNED_DPI[1] else 0.0


def resolution(path: Path, page: int) -> float:
    """Of the largest image on a PDF's page."""
    largest = max(pdf_page.drawn(path, page), key=lambda one: area(one.box), default=None)
    return min(max(largest.dpi, LEAST_DPI), MOST_DPI) if largest else USUAL_DPI


def area(box: pdf.Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _frames(path: Path) -> list[int]:
    if ending(path) in HEICS:
        import pillow_heif

        pillow_heif.register_heif_opener()
    return page_frames(path)


def _decoded(path: Path, page: int) -> "Image.Image":
    frames = _frames(path)
    if not 1 <= page <= len(frames):
        raise pdf.PdfError("no such page", f"{path} has no page {page}; it has {len(frames)} pages, counted from 1.")
    image = decode(path, str(path), frames[page - 1])
    across, down = (float(one or 0) for one in (*image.info.get("dpi", (0, 0)), 0, 0)[:2])
    info, image = image.info, opaque(image)
    if across > 0 and down > 0 and not 1 / SQUARE < across / down < SQUARE:
        wide, high = image.width * max(1, down / across), image.height * max(1, across / down)
        image = image.resize((round(wide), round(high)))
        info = {**info, "dpi": (max(across, down),) * 2}
    image.info = info
    return image
