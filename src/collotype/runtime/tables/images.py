"""The image column of a table: scanned once, then read by row."""

import hashlib

from PIL import Image

from collotype.runtime import images
from collotype.runtime.tables.table import Table


class ImageColumn:
    """Encoded bytes, {"bytes", "path"} as the datasets library stores them, or paths of files.

    Raises:
        UserError: a cell contains no image.
    """

    def __init__(self, table: Table, column: str):
        self.table, self.column = table, column
        self.digests: list[str] = []
        """Of each row's encoded image."""
        self.sizes: list[tuple[int, int]] = []
        """(width, height) of each row's image."""
        for row, cell in enumerate(table.stream(column)):
            content = self._encoded(row, cell)
            self.digests.append(hashlib.sha256(content).hexdigest())
            self.sizes.append(images.opened(content, self._origin(row)).size)

    def image(self, row: int) -> Image.Image:
        """Upright, and not decoded yet."""
        return images.opened(self._encoded(row, self.table.cell(row, self.column)), self._origin(row))

    def _encoded(self, row: int, cell: object) -> bytes:
        return images.encoded(cell, self.table.place(row)[0].parent, self._origin(row))

    def _origin(self, row: int) -> str:
        return f"{self.table.where(row)}, column {self.column}"
