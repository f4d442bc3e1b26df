"""Captions, and images or their paths, in a table: parquet, JSON lines, CSV."""

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from hashlib import sha256
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from collotype.runtime import images
from collotype.runtime.errors import UserError
from collotype.runtime.shards.samples import EMPTY_TEXT, NO_IMAGE, NO_TEXT, NOT_TEXT, Fault
from collotype.runtime.tables import ParquetTable, Table, need_column, parquet
from collotype.runtime.tables.cells import in_cell
from collotype.runtime.texts import Texts
from collotype.training.bad_examples import BadExampleError

IMAGE_COLUMNS, CAPTION_COLUMNS = ("image", "filepath", "path"), ("caption", "title", "text")
"""What they are called in CSV files for OpenCLIP, and in datasets of the hub."""
UNREADABLE_FILE = "image file cannot be read"


class TableCaptions:
    """The rows of a table that have a caption and name or hold an image, as a `CaptionSource`.

    Paths are relative to the table's folder. A caption may be a list of them.

    Args:
        picture_column, caption_column: none: the first of PICTURE_COLUMNS and CAPTION_COLUMNS that is there.
        limit: of the table's first rows.

    Raises:
        UserError: a column is missing, or no row can be used.
    """

    def __init__(
        self,
        table: Table,
        picture_column: str | None = None,
        caption_column: str | None = None,
        limit: int | None = None,
    ):
        self.image = need_column(table, *([picture_column] if picture_column else IMAGE_COLUMNS))
        self.caption = need_column(table, *([caption_column] if caption_column else CAPTION_COLUMNS))
        if table.embeds(self.image) == "list":
            raise UserError(
                f"The column {self.image!r} of {table.files[0]} contains lists; name a column with one image per row."
            )
        self.files = table.files
        self._starts = table.starts if isinstance(table, ParquetTable) else [0, len(table)]
        self._embedding = table if table.embeds(self.image) else None
        self._choose(table, limit)
        facts = f"{limit} {self.image} {self.caption} {table.digest([self.image, self.caption])}"
        self.digest = sha256(facts.encode()).hexdigest()

    def _choose(self, table: Table, limit: int | None) -> None:
        """Sets what is known of the usable rows, and the faults of the others."""
        rows, faults, firsts = array("Q"), Counter[tuple[str, str]](), dict[tuple[str, str], str]()

        def usable(captions: Iterable[Any]) -> Iterable[tuple[str, ...]]:
            for row, cell in enumerate(captions):
                texts, fault = texts_of(cell)
                fault = fault or (NO_IMAGE if named is not None and not named[row] else None)
                if fault:
                    kind = fault, str(table.place(row)[0])
                    faults[kind] += 1
                    where = (self.image, None) if fault == NO_IMAGE else (self.caption, cell)
                    firsts.setdefault(kind, in_cell(table, row, *where))
                else:
                    rows.append(row)
                    yield texts

        named = None if self._embedding else Texts(map(path_of, islice(table.stream(self.image), limit)))
        self._captions = Texts(usable(islice(table.stream(self.caption), limit)))
        self._rows, self._paths = np.array(rows), named or Texts(())
        self.faults = [Fault(*kind, count, first=firsts[kind]) for kind, count in faults.items()]
        if not len(self):
            seen = next((f" ({one})" for one in firsts.values()), "")
            raise UserError(
                f"No row of {table.files[0]} has an image and a caption{seen}; correct them, or name other columns."
            )

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def regions(self) -> list[range]:
        """Row groups of parquet files that hold images; else none: all rows are as near as each other."""
        if not self._embedding:
            return []
        bounds = [0]
        for file, start in zip(self.files, self._starts, strict=False):
            bounds += [start + group for group in parquet.in_small_groups(file).starts[1:]]
        edges = np.searchsorted(self._rows, bounds).tolist()
        return [range(start, stop) for start, stop in pairwise(edges) if start < stop]

    def _place(self, row: int) -> tuple[Path, int]:
        number = int(self._rows[row])
        file = bisect_right(self._starts, number) - 1
        return self.files[file], number - self._starts[file]

    def place(self, row: int) -> str:
        return str(self._place(row)[0])

    def texts(self, row: int) -> tuple[str, ...]:
        return self._captions[row]

    def image_key(self, row: int) -> Hashable:
        return self._paths[int(self._rows[row])] if self._paths else self._place(row)

    def read(self, row: int) -> tuple[bytes, tuple[str, ...]]:
        """
        Raises:
            BadExampleError: see `image_in`.
        """
        (file, number), table_row = self._place(row), int(self._rows[row])
        origin = f"{file}, row {number}"
        cell = self._embedding.cell(table_row, self.image) if self._embedding else self._paths[table_row][0]
        return image_in(cell, file, origin), self.texts(row)


def image_in(cell: Any, table: Path, origin: str) -> bytes:
    """The file of the image that a table's cell holds or names.

    Raises:
        BadExampleError: the cell is empty, or the file that it names cannot be read.
    """
    if not cell:
        raise BadExampleError(NO_IMAGE, str(table), f"{origin}: {NO_IMAGE}.")
    try:
        return images.encoded(cell, table.parent, origin)
    except UserError as error:
        raise BadExampleError(UNREADABLE_FILE, str(table), str(error)) from error


def texts_of(cell: Any) -> tuple[tuple[str, ...], str | None]:
    """The captions in a cell, or what is wrong with it."""
    cells = [] if cell is None else cell if isinstance(cell, list) else [cell]
    if not all(isinstance(text, str) for text in cells):
        return (), NOT_TEXT
    texts = tuple(text for text in cells if text.strip())
    return texts, None if texts else EMPTY_TEXT if cells else NO_TEXT


def path_of(cell: Any) -> tuple[str, ...]:
    """The path that a cell names, or none."""
    path = cell.get("path") if isinstance(cell, Mapping) else cell
    return (path,) if path and isinstance(path, str) else ()
