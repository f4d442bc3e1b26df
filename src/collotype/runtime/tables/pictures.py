"""A table's column of pictures, looked through once and then read at random."""

import hashlib

from PIL import Image

from collotype.runtime import pictures
from collotype.runtime.tables.table import Table


class PictureColumn:
    """Encoded bytes, {"bytes", "path"} as the datasets library stores them, or paths of files.

    Raises:
        UserError: a cell holds no picture.
    """

    def __init__(self, table: Table, column: str):
        self.table, self.column = table, column
        self.digests: list[str] = []
        """Of each row's encoded picture."""
        self.sizes: list[tuple[int, int]] = []
        """(width, height) of each row's picture."""
        for row, cell in enumerate(table.stream(column)):
            content = self._encoded(row, cell)
            self.digests.append(hashlib.sha256(content).hexdigest())
            self.sizes.append(pictures.opened(content, self._origin(row)).size)

    def image(self, row: int) -> Image.Image:
        """Upright, and not decoded yet."""
        return pictures.opened(self._encoded(row, self.table.cell(row, self.column)), self._origin(row))

    def _encoded(self, row: int, cell: object) -> bytes:
        return pictures.encoded(cell, self.table.place(row)[0].parent, self._origin(row))

    def _origin(self, row: int) -> str:
        return f"{self.table.where(row)}, column {self.column}"
