"""Search by an image: a file, or a region of a page."""

import hashlib
import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from collotype.runtime.errors import UserError
from collotype.search.ingest.kinds import FIRST_BYTES, KINDS, named_kinds, readable_endings
from collotype.search.ingest.limits import PAGE_PX
from collotype.search.pages import Box, Draw

if TYPE_CHECKING:
    from PIL import Image

WORD = "▣"
"""What stands for an image where a query has words."""
LEAST_PX, MOST_PX = 16, 4096
"""Of the shorter side of what is looked for; of a page that a part is cut from."""


@dataclass(frozen=True)
class ImageQuery:
    """Two with the same pixels are one."""

    digest: str
    name: str = field(compare=False)
    """As it is shown."""
    image: "Image.Image" = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.name


Query = str | ImageQuery


class PageImages(Protocol):
    def image(self, document: str, page: int, longest_px: int) -> "Image.Image": ...


def of_file(draw: Draw, file: Path, crop: Box | None = None) -> ImageQuery:
    """An image file, or the first page of a PDF.

    Raises:
        UserError: it cannot be read, or the part is too small.
    """
    if not file.is_file():
        raise UserError(f"There is no file {file}; check the path.")
    if file.suffix.lower() not in readable_endings():
        raise UserError(f"{file} is neither an image nor a PDF ({named_kinds()}); convert it.")
    return of_image(draw(file, 1, longest(crop)), file.name, crop)


def of_page(library: PageImages, document: str, page: int, crop: Box | None = None) -> ImageQuery:
    """A page that is in an index, or a part of it.

    Raises:
        UserError: as `IndexLibrary.image`, or the part is too small.
    """
    return of_image(library.image(document, page, longest(crop)), f"{document}, page {page}", crop)


def of_bytes(draw: Draw, content: bytes, crop: Box | None = None) -> ImageQuery:
    """An image as it was sent; only a process that may die opens it.

    Raises:
        UserError: it is none, or too small.
    """
    kinds = (one for one in readable_endings() if any(start in content[:FIRST_BYTES][:n] for start, n in KINDS[one]))
    if (kind := next(kinds, None)) is None:
        raise UserError(f"The upload is neither an image nor a PDF ({named_kinds()}); convert it.")
    with tempfile.NamedTemporaryFile(suffix=kind) as file:
        file.write(content)
        file.flush()
        try:
            return of_image(draw(Path(file.name), 1, longest(crop)), "an image", crop)
        except UserError as error:
            raise UserError(str(error).replace(file.name, "the image")) from error


def of_image(image: "Image.Image", name: str, crop: Box | None = None) -> ImageQuery:
    if crop:
        sides = image.width, image.height, image.width, image.height
        left, top, right, bottom = (round(part * side) for part, side in zip(crop, sides, strict=True))
        image = image.crop((left, top, right, bottom))
        image.thumbnail((PAGE_PX, PAGE_PX))
        name = f"part of {name}"
    if min(image.size) < LEAST_PX:
        wide, high = image.size
        raise UserError(f"The image has {wide} × {high} pixels; use one of at least {LEAST_PX} on each side.")
    digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
    return ImageQuery(digest, name, image)


def longest(crop: Box | None) -> int:
    """How large an image is drawn: so that a part of it has the pixels that a page has."""
    share = max(crop[2] - crop[0], crop[3] - crop[1]) if crop else 1.0
    return min(MOST_PX, round(PAGE_PX / share))


def box_of(text: str) -> Box:
    """A part of a page as it is written: left,top,right,bottom, each from 0 to 1.

    Raises:
        UserError: it is none.
    """
    try:
        left, top, right, bottom = (float(one) for one in text.split(","))
    except ValueError:
        left = top = right = bottom = math.nan
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise UserError(
            f"{text[:80]!r} is not a region of a page; give left,top,right,bottom as fractions of its width and "
            "height, such as 0,0.5,1,1 for the lower half."
        )
    if max(right - left, bottom - top) * MOST_PX < LEAST_PX:
        raise UserError(f"The region {text[:80]!r} is too small to search for; use a larger one.")
    return left, top, right, bottom
