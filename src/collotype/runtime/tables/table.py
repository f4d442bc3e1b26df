"""Tables of texts and images: parquet files, JSON lines, CSV. Small columns are read whole, images one by one.

Rows are numbered from 0.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from csv import reader
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, Protocol

from collotype.runtime.errors import UserError
from collotype.runtime.tables import parquet

BLOCK_BYTES = 2**24
"""Of a CSV file, read at once; a row must fit."""


SEPARATORS = ("\t", ",", ";", "|")
"""Of columns, the likeliest first."""


class Table(Protocol):
    files: list[Path]
    columns: list[str]

    def __len__(self) -> int: ...

    def place(self, row: int) -> tuple[Path, int]:
        """The row's file, whose folder paths in its cells are relative to, and its number there."""

    def where(self, row: int) -> str:
        """The row as a user finds it."""

    def values(self, column: str) -> Sequence[Any]:
        """A small column, whole."""

    def stream(self, column: str) -> Iterator[Any]:
        """A column's cells one after the other, a few of them in memory."""

    def cell(self, row: int, column: str) -> Any:
        """One cell; of images its row group is read, of others the column. None where the row has none."""

    def embeds(self, column: str) -> Literal["one", "list"] | None:
        """Does a cell hold an image, or a list of them? None: at most their names."""

    def digest(self, columns: Iterable[str]) -> str:
        """Of what the columns hold, as far as it can be had without reading images."""


def find_column(table: Table, *names: str) -> str | None:
    """The first of `names` that is a column."""
    return next((name for name in names if name in table.columns), None)


def need_column(table: Table, *names: str, hint: str = "") -> str:
    """The first of `names` that is a column.

    Raises:
        UserError: none is; `hint` says what to do, where a list of the columns does not.
    """
    found = find_column(table, *names)
    if found is None:
        wanted, there = " or ".join(map(repr, names)), ", ".join(table.columns) or "none"
        raise UserError(f"{table.files[0]} has no column {wanted}; it has {there}{hint}.")
    return found


class ParquetTable:
    """Parquet files of the same columns, one after the other.

    Raises:
        UserError: a file cannot be read, or has other columns than the first.
    """

    def __init__(self, files: Sequence[Path]):
        self.files = list(files)
        opened = [parquet.open_parquet(file) for file in self.files]
        self.types = {field.name: field.type for field in opened[0].handle.schema_arrow}
        self.columns = list(self.types)
        for file in opened:
            if file.columns != self.columns:
                raise UserError(
                    f"{file.path} has the columns {', '.join(file.columns)}, but {self.files[0]} has "
                    f"{', '.join(self.columns)}; put them into different folders."
                )
        self.starts = list(accumulate((file.starts[-1] for file in opened), initial=0))
        self._small: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return self.starts[-1]

    def place(self, row: int) -> tuple[Path, int]:
        file = bisect_right(self.starts, row) - 1
        return self.files[file], row - self.starts[file]

    def where(self, row: int) -> str:
        file, number = self.place(row)
        return f"{file}, row {number}"

    def values(self, column: str) -> list[Any]:
        if column not in self._small:
            self._small[column] = [value for file in self.files for value in parquet.read_column(file, column)]
        return self._small[column]

    def stream(self, column: str) -> Iterator[Any]:
        for file in self.files:
            yield from parquet.stream(file, column)

    def cell(self, row: int, column: str) -> Any:
        if column not in self.types:
            return None
        return parquet.read_cell(*self.place(row), column) if self.embeds(column) else self.values(column)[row]

    def embeds(self, column: str) -> Literal["one", "list"] | None:
        kind = self.types.get(column)
        if kind is None or not parquet.holds_images(kind):
            return None
        return "list" if parquet.is_list(kind) else "one"

    def digest(self, columns: Iterable[str]) -> str:
        known = [column for column in columns if column in self.types]
        content = hashlib.sha256()
        for file in self.files:
            content.update(f"{file.name} {parquet.sizes_of_groups(file, known)}".encode())
        for column in known:
            if not self.embeds(column):
                content.update(json.dumps(self.values(column), default=repr).encode())
        return content.hexdigest()


class JsonLinesTable:
    """A JSON object a line.

    Raises:
        UserError: the file cannot be read, or a line is not an object.
    """

    def __init__(self, path: Path):
        self.files, content = [path], read_text(path)
        self.content_sha256 = hashlib.sha256(content.encode()).hexdigest()
        self._rows = list(self._read(content))
        self.columns = list(dict.fromkeys(name for _, row in self._rows for name in row))

    def _read(self, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """(number of the line, the object in it)."""
        for number, line in enumerate(content.split("\n"), start=1):
            if line.strip():
                yield number, self._object(number, line)

    def _object(self, number: int, line: str) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{self.files[0]}, line {number} is not valid JSON ({error}); correct it.") from error
        if not isinstance(row, dict):
            raise UserError(f"{self.files[0]}, line {number} is not an object in braces but {line[:40]!r}; correct it.")
        return row

    def __len__(self) -> int:
        return len(self._rows)

    def place(self, row: int) -> tuple[Path, int]:
        return self.files[0], row

    def where(self, row: int) -> str:
        return f"{self.files[0]}, line {self._rows[row][0]}"

    def values(self, column: str) -> list[Any]:
        return list(self.stream(column))

    def stream(self, column: str) -> Iterator[Any]:
        return (row.get(column) for _, row in self._rows)

    def cell(self, row: int, column: str) -> Any:
        return self._rows[row][1].get(column)

    def embeds(self, column: str) -> None:
        return None

    def digest(self, columns: Iterable[str]) -> str:
        return self.content_sha256


class JsonTable(JsonLinesTable):
    """One JSON list of objects.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """

    def _read(self, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            rows = json.loads(content)
        except ValueError as error:
            raise UserError(f"{self.files[0]} is not valid JSON ({error}); correct it.") from error
        if not isinstance(rows, list):
            raise UserError(f"{self.files[0]} is not a list of objects but {content[:40]!r}; give one, or JSON lines.")
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                raise UserError(
                    f"{self.files[0]}, item {number} is not an object in braces but {row!r:.40}; correct it."
                )
            yield number, row

    def where(self, row: int) -> str:
        return f"{self.files[0]}, item {row}"


def separator_of(path: Path, names: str, given: str | None) -> str:
    """The one that is given, if it can be, else the likely one, by the line of names.

    Raises:
        UserError: the given one is none, or another one is meant.
    """
    likely = next((sign for sign in SEPARATORS if sign in names), ",")
    if given is None:
        return likely
    if len(given) != 1:
        raise UserError(f'The separator of {path} is {given!r}; it must be one character (a tab is "\\t").')
    if given not in names and likely in names:
        raise UserError(
            f"The separator of {path} is a {named(given)}, but there is none in {names.strip()[:50]!r}; the file seems "
            f"to use a {named(likely)}: set the separator to {likely!r}."
        )
    return given


def named(separator: str) -> str:
    return {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar", " ": "blank"}.get(separator, repr(separator))


class CsvTable:
    """A file of separated texts, whose first line names the columns; held as arrow does, in little more than its size.

    Args:
        separator: None takes the first of SEPARATORS that the first line has, else a comma.

    Raises:
        UserError: the file cannot be read, is not UTF-8, a row has more or fewer cells than the first, or another
            separator than the given one is likely.
    """

    def __init__(self, path: Path, separator: str | None = None):
        import pyarrow as pa
        from pyarrow import csv

        self.files, sign = [path], separator or ""
        try:
            with path.open("rb") as file:
                names = file.readline().decode("utf-8-sig")
            sign = separator_of(path, names, separator)
            self.columns = next(reader([names], delimiter=sign), [])
            self._table = csv.read_csv(
                path,
                csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
                csv.ParseOptions(delimiter=sign, newlines_in_values=True),
                csv.ConvertOptions(column_types=dict.fromkeys(self.columns, pa.string())),
            )
            if len(set(self.columns)) < len(self.columns):
                raise ValueError("two columns have the same name")
        except (OSError, ValueError, pa.ArrowException) as error:
            problem, separated = str(error).split("\n")[0], f" with a {named(sign)} between columns" * bool(sign)
            mend = (
                "quote cells that contain the separator, or set another one"
                if "columns, got" in problem
                else "correct it"
            )
            raise UserError(f"{path} cannot be read{separated} ({problem}); {mend}.") from error

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def place(self, row: int) -> tuple[Path, int]:
        return self.files[0], row

    def where(self, row: int) -> str:
        return f"{self.files[0]}, row {row}"

    def values(self, column: str) -> list[str]:
        return list(self._table[column].to_pylist())

    def stream(self, column: str) -> Iterator[str]:
        return (text.as_py() for text in self._table[column])

    def cell(self, row: int, column: str) -> str | None:
        return self._table[column][row].as_py() if column in self.columns else None

    def embeds(self, column: str) -> None:
        return None

    def digest(self, columns: Iterable[str]) -> str:
        with self.files[0].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); check the path or copy it again.") from error
