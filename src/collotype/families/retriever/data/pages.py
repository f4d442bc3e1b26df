"""Where a page's picture is: a picture file, a page of a PDF, a cell of a parquet file. A reference costs nothing until
it is read, can be compared, and can be written down in a pairs file."""

import hashlib
import io
import os
import warnings
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image, ImageOps

from collotype.families.retriever.data.parquet import read_cell
from collotype.families.retriever.pixels import MAX_PIXELS
from collotype.runtime import pdf
from collotype.runtime.errors import UserError


class PageRef(Protocol):
    """A page of some corpus; hashable, equal where it is the same place."""

    path: Path

    def read(self) -> Image.Image:
        """The decoded picture.

        Raises:
            UserError: it is missing, cannot be decoded, or has more than MAX_PIXELS.
        """

    def key(self) -> Hashable:
        """Equal where the page is the same, also in another place if that can be known without decoding it."""

    def written(self, folder: Path) -> dict[str, Any]:
        """How a pairs file in `folder` names it; `ref_from` reads it back."""


@dataclass(frozen=True)
class PictureFile:
    path: Path

    def read(self) -> Image.Image:
        return decode(self.path, str(self.path))

    def key(self) -> Hashable:
        return self

    def written(self, folder: Path) -> dict[str, Any]:
        return {"path": relative(self.path, folder)}


@dataclass(frozen=True)
class PdfPage:
    path: Path
    page: int
    """Counted from 1."""
    longest_px: int

    def read(self) -> Image.Image:
        return pdf.render(self.path, self.page, self.longest_px)

    def key(self) -> Hashable:
        return self

    def written(self, folder: Path) -> dict[str, Any]:
        return {"document": relative(self.path, folder), "page": self.page}


@dataclass(frozen=True)
class ParquetCell:
    """A picture within a parquet file, as bytes or as {bytes, path}; `place` counts within a list of them."""

    path: Path
    row: int
    column: str
    place: int | None = None

    @property
    def origin(self) -> str:
        return f"{self.path}, row {self.row}, column {self.column!r}"

    def content(self) -> bytes | Path:
        value = read_cell(self.path, self.row, self.column)
        value = value if self.place is None else value[self.place]
        if isinstance(value, Mapping):
            if value.get("bytes") is None and value.get("path"):
                return self.path.parent / value["path"]
            value = value.get("bytes")
        if not value:
            raise UserError(f"{self.origin} holds no picture; remove the row.")
        return value

    def read(self) -> Image.Image:
        return decode(self.content(), self.origin)

    def key(self) -> Hashable:
        content = self.content()
        return hashlib.blake2b(content, digest_size=16).digest() if isinstance(content, bytes) else content

    def written(self, folder: Path) -> dict[str, Any]:
        place = {} if self.place is None else {"place": self.place}
        return {"parquet": relative(self.path, folder), "row": self.row, "column": self.column, **place}


def relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder)


def ref_from(value: Any, folder: Path, page_px: int, origin: str) -> PageRef:
    """The page that a table in `folder` names by a path (of a picture, or of a PDF with one page), or by a mapping:
    {path}, {document, page}, {parquet, row, column}; what else stands in the mapping is somebody's note.

    Raises:
        UserError: it names no page; `origin` says where it stands.
    """
    keys = {"path": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
    keys = {name: part for name, part in keys.items() if part is not None}
    try:
        if "document" in keys:
            return PdfPage(folder / keys["document"], int(keys["page"]), page_px)
        if "parquet" in keys:
            place = keys.get("place")
            row = int(keys["row"])
            return ParquetCell(folder / keys["parquet"], row, keys["column"], place if place is None else int(place))
        path = keys.get("path") or keys["image"]
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{origin}: {value!r} names no page; give a path, or {{path}}, {{document, page}} or "
            "{parquet, row, column}."
        ) from None
    if path.lower().endswith(".pdf"):
        return PdfPage(folder / path, 1, page_px)
    return PictureFile(folder / path)


def decode(content: bytes | Path, origin: str) -> Image.Image:
    """The whole picture, upright as its EXIF data say (as `datasets` does it).

    Raises:
        UserError: it cannot be decoded, or has more than MAX_PIXELS.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content) if isinstance(content, bytes) else content)
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
        image.load()
        return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{origin}: the picture cannot be read ({error}); replace it or remove the row.") from error


def digest(image: Image.Image) -> str:
    """Of size and RGB pixels: the same for copies of a page in other files or formats."""
    pixels = image.convert("RGB")
    return hashlib.blake2b(f"{pixels.size}".encode() + pixels.tobytes(), digest_size=16).hexdigest()
