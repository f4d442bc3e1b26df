"""Tables whose cells name or hold pages: parquet files, or a file of JSON lines. Small columns are read whole, pictures
when they are asked for."""

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from collotype.families.retriever.data import parquet
from collotype.families.retriever.data.hub import find_table
from collotype.families.retriever.data.pages import PageRef, ParquetCell, ref_from
from collotype.runtime.errors import UserError

Lookup = Callable[[Hashable, str], PageRef]
"""(id, where it stands) -> the page of a corpus."""


class Table(Protocol):
    folder: Path
    """What paths in cells are relative to."""
    columns: list[str]

    def __len__(self) -> int: ...

    def where(self, row: int) -> str:
        """The row as a user finds it."""

    def values(self, column: str) -> Sequence[Any]:
        """A small column, whole."""

    def refs(self, row: int, column: str, page_px: int, lookup: Lookup | None = None) -> tuple[PageRef, ...]:
        """The pages in a cell; none where it is null. `lookup` is there if cells may hold ids."""

    def embeds(self, column: str) -> bool:
        """Does the column hold pictures, not names of pictures?"""

    def digest(self, columns: Iterable[str]) -> str:
        """Of what the columns hold, as far as it can be had without reading pictures."""


def open_table(path: str, split: str = "train", subset: str | None = None) -> Table:
    """The table at a path or of the hub.

    Raises:
        UserError: there is none, or its files are damaged or of different columns.
    """
    files = find_table(path, split, subset)
    return JsonLinesTable(files[0]) if files[0].suffix == ".jsonl" else ParquetTable(files)


class JsonLinesTable:
    """A JSON object a line; paths in it are relative to its folder."""

    def __init__(self, path: Path):
        self.path, self.folder, self.rows = path, path.parent, []
        try:
            content = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read ({error}); check the path or copy it again.") from error
        self.content_sha256 = hashlib.sha256(content.encode()).hexdigest()
        for number, line in enumerate(content.split("\n"), start=1):
            if line.strip():
                self.rows.append((number, self._object(number, line)))
        self.columns = list(dict.fromkeys(name for _, row in self.rows for name in row))

    def _object(self, number: int, line: str) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{self.path}, line {number} is no JSON ({error}); correct it.") from error
        if not isinstance(row, dict):
            raise UserError(f"{self.path}, line {number} holds no object in braces, but {line[:40]!r}; correct it.")
        return row

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, row: int) -> str:
        return f"{self.path}, line {self.rows[row][0]}"

    def values(self, column: str) -> list[Any]:
        return [row.get(column) for _, row in self.rows]

    def refs(self, row: int, column: str, page_px: int, lookup: Lookup | None = None) -> tuple[PageRef, ...]:
        cells = self.rows[row][1]
        if column not in cells and "document" in cells:
            cell: Any = {"document": cells["document"], "page": cells.get("page")}
        else:
            cell = cells.get(column)
        return refs_of(cell, self.folder, page_px, self.where(row), lookup)

    def embeds(self, column: str) -> bool:
        return False

    def digest(self, columns: Iterable[str]) -> str:
        return self.content_sha256


class ParquetTable:
    """Parquet files of the same columns, one after the other."""

    def __init__(self, files: list[Path]):
        self.files, self.folder = files, files[0].parent
        schemas = [parquet.open_parquet(file, os.getpid()).schema_arrow for file in files]
        self.types = {field.name: field.type for field in schemas[0]}
        self.columns = list(self.types)
        for file, schema in zip(files, schemas, strict=True):
            if schema.names != self.columns:
                raise UserError(
                    f"{file} has the columns {', '.join(schema.names)}, and {files[0]} has {', '.join(self.columns)}; "
                    "put them into different folders."
                )
        rows = [parquet.open_parquet(file, os.getpid()).metadata.num_rows for file in files]
        self.starts = [0, *accumulate(rows)]
        self._small: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return self.starts[-1]

    def place(self, row: int) -> tuple[Path, int]:
        """The row's file, and its number there."""
        file = bisect_right(self.starts, row) - 1
        return self.files[file], row - self.starts[file]

    def where(self, row: int) -> str:
        file, number = self.place(row)
        return f"{file}, row {number}"

    def values(self, column: str) -> list[Any]:
        if column not in self._small:
            self._small[column] = [
                value for file in self.files for value in parquet.read_columns(file, [column]).column(0).to_pylist()
            ]
        return self._small[column]

    def refs(self, row: int, column: str, page_px: int, lookup: Lookup | None = None) -> tuple[PageRef, ...]:
        file, number = self.place(row)
        if column not in self.types and "document" in self.types:
            cell: Any = {"document": self.values("document")[row], "page": self.values("page")[row]}
        elif not self.embeds(column):
            cell = self.values(column)[row]
        elif parquet.is_list(self.types[column]):
            pictures = parquet.read_cell(file, number, column) or ()
            return tuple(ParquetCell(file, number, column, place) for place in range(len(pictures)))
        else:
            return (ParquetCell(file, number, column),)
        return refs_of(cell, file.parent, page_px, self.where(row), lookup)

    def embeds(self, column: str) -> bool:
        return column in self.types and parquet.holds_pictures(self.types[column])

    def digest(self, columns: Iterable[str]) -> str:
        known = [column for column in columns if column in self.types]
        content = hashlib.sha256()
        for file in self.files:
            content.update(f"{file.name} {parquet.sizes_of_groups(file, known)}".encode())
        for column in known:
            if not self.embeds(column):
                content.update(json.dumps(self.values(column)).encode())
        return content.hexdigest()


def refs_of(cell: Any, folder: Path, page_px: int, where: str, lookup: Lookup | None) -> tuple[PageRef, ...]:
    """The pages a cell names: one of them, or a list; with `lookup`, by what is no mapping or has an `id`."""

    def ref(part: Any) -> PageRef:
        if lookup and not isinstance(part, dict):
            return lookup(part, where)
        if lookup and part.get("id") is not None:
            return lookup(part["id"], where)
        return ref_from(part, folder, page_px, where)

    parts = cell if isinstance(cell, list) else [] if cell is None else [cell]
    return tuple(map(ref, parts))


class Corpus:
    """Pages that another table names by id, or by row number."""

    def __init__(self, table: Table, id_column: str | None, image_column: str, page_px: int):
        self.table, self.id_column, self.image_column, self.page_px = table, id_column, image_column, page_px
        require_columns(table, [image_column, *([id_column] if id_column else [])])

    @cached_property
    def rows(self) -> dict[Hashable, int]:
        ids = self.table.values(self.id_column) if self.id_column else range(len(self.table))
        return {number: row for row, number in enumerate(ids)}

    def page(self, number: Hashable, where: str) -> PageRef:
        if number not in self.rows:
            by = f"the column {self.id_column!r}" if self.id_column else "row number"
            raise UserError(
                f"{where} names {number!r}, which is no page of the corpus ({len(self.rows)} pages by {by})."
            )
        return self.table.refs(self.rows[number], self.image_column, self.page_px)[0]

    def digest(self) -> str:
        return self.table.digest([self.image_column, *([self.id_column] if self.id_column else [])])


def require_columns(table: Table, columns: Iterable[str]) -> None:
    for column in columns:
        if column not in table.columns:
            place = table.where(0).rpartition(",")[0] if len(table) else "The table"
            raise UserError(
                f"{place} has no column {column!r}; it has {', '.join(table.columns) or 'none'}: name the right one "
                "with query_column, image_column, negatives_column, corpus_id_column or corpus_image_column."
            )
