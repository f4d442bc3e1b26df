"""Where a page's image is: an image file, a page of a PDF, a cell of a parquet file. A reference costs nothing until
it is read, can be compared, and can be written down in a pairs file. And how the cells of a table name pages."""

import hashlib
import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from collotype.runtime import pdf
from collotype.runtime.errors import UserError
from collotype.runtime.images import content_of, decode
from collotype.runtime.tables import Table
from collotype.runtime.tables.parquet import read_cell


class PageRef(Protocol):
    """A page of some corpus; hashable, equal where it is the same place."""

    @property
    def path(self) -> Path: ...

    def read(self) -> Image.Image:
        """The decoded image.

        Raises:
            UserError: it is missing, cannot be decoded, or has more than MAX_PIXELS (runtime/images.py).
        """

    def key(self) -> Hashable:
        """Equal where the page is the same, also in another place if that can be known without decoding it."""

    def written(self, folder: Path) -> dict[str, Any]:
        """How a pairs file in `folder` names it; `ref_from` reads it back."""


@dataclass(frozen=True)
class ImageFile:
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
    """An image within a parquet file, as bytes or as {bytes, path}; `place` counts within a list of them."""

    path: Path
    row: int
    column: str
    place: int | None = None

    @property
    def origin(self) -> str:
        return f"{self.path}, row {self.row}, column {self.column}"

    def content(self) -> bytes | Path:
        cell = read_cell(self.path, self.row, self.column)
        return content_of(cell if self.place is None else cell[self.place], self.path.parent, self.origin)

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
    """The page that a table in `folder` names by a path (of an image, or of a PDF with one page), or by a mapping:
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
            f"{origin}: {value!r} is not a page; give a path, or {{path}}, {{document, page}} or {{parquet, row, "
            "column}."
        ) from None
    if path.lower().endswith(".pdf"):
        return PdfPage(folder / path, 1, page_px)
    return ImageFile(folder / path)


Lookup = Callable[[Hashable, str], PageRef]
"""(id, where it stands) -> the page of a corpus."""


def refs_in(table: Table, row: int, column: str, page_px: int, lookup: Lookup | None = None) -> tuple[PageRef, ...]:
    """The pages in a table's cell; none where it is null.

    Args:
        lookup: finds what a cell names by an id: what is not a mapping, or has an `id`.

    Raises:
        UserError: the cell names no page.
    """
    file, number = table.place(row)
    match table.embeds(column):
        case "one":
            return (ParquetCell(file, number, column),)
        case "list":
            pictures = table.cell(row, column) or ()
            return tuple(ParquetCell(file, number, column, place) for place in range(len(pictures)))
    cell, where = table.cell(row, column), table.where(row)

    def ref(part: Any) -> PageRef:
        if lookup and not isinstance(part, dict):
            return lookup(part, where)
        if lookup and part.get("id") is not None:
            return lookup(part["id"], where)
        return ref_from(part, file.parent, page_px, where)

    return tuple(map(ref, cell if isinstance(cell, list) else [] if cell is None else [cell]))


def document_in(table: Table, row: int, page_px: int) -> tuple[PageRef, ...]:
    """The page of a PDF that the columns `document` and `page` name; none where `document` is null.

    Raises:
        UserError: `page` is not a number.
    """
    cell = {name: table.cell(row, name) for name in ("document", "page")}
    if cell["document"] is None:
        return ()
    return (ref_from(cell, table.place(row)[0].parent, page_px, table.where(row)),)
