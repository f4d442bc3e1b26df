"""Tables of texts and images, from files, folders and the hub."""

from collections.abc import Sequence
from pathlib import Path

from collotype.runtime.tables.files import fetch_tables, find_table, find_tables, need_of_tables, needs_of
from collotype.runtime.tables.images import ImageColumn
from collotype.runtime.tables.table import (
    CsvTable,
    JsonLinesTable,
    JsonTable,
    ParquetTable,
    Table,
    find_column,
    need_column,
)


def open_table(path: str, split: str = "train", subset: str | None = None, separator: str | None = None) -> Table:
    """The table at a path or of the hub.

    Raises:
        UserError: there is none, or its files are damaged or of different columns.
    """
    place = Path(path).expanduser()
    if place.suffix == ".json" and place.is_file():
        return JsonTable(place)
    return open_files(find_table(path, split, subset), separator)


def open_files(files: Sequence[Path], separator: str | None = None) -> Table:
    """The table in these files; `separator` as of CsvTable."""
    match files[0].suffix:
        case ".jsonl":
            return JsonLinesTable(files[0])
        case ".csv" | ".tsv":
            return CsvTable(files[0], separator)
    return ParquetTable(files)


__all__ = [
    "CsvTable",
    "ImageColumn",
    "JsonLinesTable",
    "JsonTable",
    "ParquetTable",
    "Table",
    "fetch_tables",
    "find_column",
    "find_tables",
    "need_column",
    "need_of_tables",
    "needs_of",
    "open_files",
    "open_table",
]
