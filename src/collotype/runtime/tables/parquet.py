"""Parquet files read at random: a row group at a time, never a whole file.

Handles belong to the module and a process, not to tables, so that datasets can be sent to loader processes.
"""

import hashlib
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_file, cache_folder

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

GROUP_BYTES = 128 * 2**20
"""A file with larger row groups (pandas writes a single one) is copied once, in small groups, before it is read at
random."""
ROWS_OF_A_COPIED_GROUP = 32
KEPT_BYTES = 2**28
"""Row groups read at random are kept up to this size in all, one at least."""
STREAM_BYTES, ROWS_OF_A_BATCH = 2**20, 32

_kept: "OrderedDict[tuple[OpenFile, int, str], pa.ChunkedArray]" = OrderedDict()
"""Columns of row groups, the one read last at the end."""
_reading = Lock()
"""Of threads that read cells: sharing a handle crashes pyarrow. So a row group is also read only once."""


@dataclass(frozen=True, eq=False)
class OpenFile:
    """A file whose footer has been read."""

    path: Path
    handle: "ParquetFile"
    starts: list[int]
    """The first row of each row group, and the number of rows."""

    @property
    def columns(self) -> list[str]:
        return list(self.handle.schema_arrow.names)


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Turns what pyarrow says of a damaged file into a UserError that names it."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        problem = str(error).split("\n")[0]
        raise UserError(f"{path} cannot be read as parquet ({problem}); check the path or copy it again.") from error


def open_parquet(path: Path) -> OpenFile:
    """The file's footer is read, no rows; again only if the file has changed.

    Raises:
        UserError: it is missing or no parquet file.
    """
    with whole(path):
        status = path.stat()
        return _open(path, status.st_size, status.st_mtime_ns, os.getpid())


@lru_cache(maxsize=256)
def _open(path: Path, size: int, changed_ns: int, process: int) -> OpenFile:
    """`process` keeps a forked process from using its parent's handle."""
    from pyarrow.parquet import ParquetFile

    handle = ParquetFile(path, memory_map=True)
    rows = (handle.metadata.row_group(group).num_rows for group in range(handle.num_row_groups))
    return OpenFile(path, handle, list(accumulate(rows, initial=0)))


def read_column(path: Path, column: str) -> list[Any]:
    """A whole column of a file, for those that are small: texts, ids, paths."""
    with whole(path):
        return list(open_parquet(path).handle.read([column], use_threads=False).column(0).to_pylist())


def stream(path: Path, column: str) -> Iterator[Any]:
    """A column's values one after the other, a few of them in memory, and a row group's dictionary: pyarrow writes a
    column's first 1,024 values into one, images too."""
    with whole(path), streamed(path) as file:
        for batch in file.iter_batches(ROWS_OF_A_BATCH, columns=[column], use_threads=False):
            yield from batch.column(0).to_pylist()


@contextmanager
def streamed(path: Path) -> Iterator["ParquetFile"]:
    """The file through a small buffer, without which a large row group would be read whole."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path, buffer_size=STREAM_BYTES) as file:
            yield file
    finally:
        pa.default_memory_pool().release_unused()


def read_cell(path: Path, row: int, column: str) -> Any:
    """A single value; its whole row group is read, and kept for the next row. Threads may call this at the same time.

    Raises:
        UserError: there is no such row or column, or the file is damaged.
    """
    with whole(path), _reading:
        file = in_small_groups(path)
        rows = file.starts[-1]
        if not 0 <= row < rows or column not in file.columns:
            names = ", ".join(file.columns)
            raise UserError(f"{path} has no row {row} in a column {column!r}; it has {rows} rows of {names}.")
        group = bisect_right(file.starts, row) - 1
        return read_group(file, group, column)[row - file.starts[group]].as_py()


def read_group(file: OpenFile, group: int, column: str) -> "pa.ChunkedArray":
    key = (file, group, column)
    if key not in _kept:
        _kept[key] = file.handle.read_row_group(group, [column], use_threads=False).column(0)
    _kept.move_to_end(key)
    while len(_kept) > 1 and sum(column.nbytes for column in _kept.values()) > KEPT_BYTES:
        _kept.popitem(last=False)
    return _kept[key]


def in_small_groups(path: Path) -> OpenFile:
    """The file itself, or its copy in the cache folder whose row groups are small enough to be read for one row."""
    file = open_parquet(path)
    if largest_group(file) <= GROUP_BYTES:
        return file
    status = path.stat()
    name = hashlib.sha256(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:16]
    copy = cache_folder() / f"{path.stem}-{name}.parquet"
    if not copy.is_file():
        copy_in_small_groups(path, copy)
    return open_parquet(copy)


@lru_cache(maxsize=256)
def largest_group(file: OpenFile) -> int:
    footer = file.handle.metadata
    return max((footer.row_group(group).total_byte_size for group in range(footer.num_row_groups)), default=0)


def copy_in_small_groups(path: Path, copy: Path) -> None:
    """Without dictionaries, which would be as large as what they stand for; a stream as `stream` is."""
    from pyarrow.parquet import ParquetWriter

    with (
        atomic_file(copy) as scratch,
        streamed(path) as source,
        ParquetWriter(scratch, source.schema_arrow, use_dictionary=False, compression="none") as target,
    ):
        for batch in source.iter_batches(ROWS_OF_A_COPIED_GROUP, use_threads=False):
            target.write_batch(batch, row_group_size=ROWS_OF_A_COPIED_GROUP)


def sizes_of_groups(path: Path, columns: Iterable[str]) -> list[list[int]]:
    """Stored bytes of the columns in every row group: what a fingerprint can have without reading them."""
    footer, wanted = open_parquet(path).handle.metadata, set(columns)
    return [
        [
            part.total_compressed_size
            for part in map(footer.row_group(group).column, range(footer.num_columns))
            if part.path_in_schema.split(".")[0] in wanted
        ]
        for group in range(footer.num_row_groups)
    ]


def holds_images(kind: "pa.DataType") -> bool:
    """Is this type bytes, {bytes, path}, or a list of either, in any of Arrow's ways to store them?"""
    import pyarrow as pa

    kind = inner(kind)
    if pa.types.is_struct(kind):
        return "bytes" in {kind.field(place).name for place in range(kind.num_fields)}
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(is_kind(kind) for is_kind in binary)


def inner(kind: "pa.DataType") -> "pa.DataType":
    """What the elements of a list are, and what a dictionary or an extension stores."""
    import pyarrow as pa

    while is_list(kind) or pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind.value_type
    return kind


def is_list(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(kind) for is_kind in (*lists, pa.types.is_list_view, pa.types.is_large_list_view))
