"""Parquet files read at random: a row group at a time, never a whole file.

Handles belong to the module and a process, not to datasets, so that datasets can be sent to loader processes.
"""

import hashlib
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
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


@lru_cache(maxsize=256)
def open_parquet(path: Path, process: int | None = None) -> "ParquetFile":
    """The file's footer is read, no rows. `process` keeps a forked process from using its parent's handle.

    Raises:
        UserError: it is missing or no parquet file.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} cannot be read as parquet ({error}); check the path or copy it again.") from error


def read_columns(path: Path, columns: list[str]) -> "pa.Table":
    """Whole columns of a file, for those that are small: queries, ids, paths."""
    import pyarrow as pa

    try:
        return open_parquet(path, os.getpid()).read(columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} is damaged ({error}); copy it again.") from error


def read_cell(path: Path, row: int, column: str) -> Any:
    """A single value; its whole row group is read, and kept for the next row."""
    import pyarrow as pa

    try:
        path = in_small_groups(path)
        file = open_parquet(path, os.getpid())
        if not 0 <= row < file.metadata.num_rows or column not in file.schema_arrow.names:
            names = ", ".join(file.schema_arrow.names)
            raise UserError(
                f"{path} has no row {row} in a column {column!r}; it has {file.metadata.num_rows} rows of {names}."
            )
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < rows:
                break
            row -= rows
        return read_group(path, group, column, os.getpid())[row].as_py()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} is damaged ({error}); copy it again.") from error


@lru_cache(maxsize=2)
def read_group(path: Path, group: int, column: str, process: int) -> "pa.ChunkedArray":
    return open_parquet(path, process).read_row_group(group, [column], use_threads=False).column(0)


@lru_cache(maxsize=1024)
def in_small_groups(path: Path) -> Path:
    """`path` itself, or its copy in the cache folder whose row groups are small enough to be read for one row."""
    footer = open_parquet(path, os.getpid()).metadata
    sizes = [footer.row_group(group).total_byte_size for group in range(footer.num_row_groups)]
    if max(sizes, default=0) <= GROUP_BYTES:
        return path
    told = path.stat()
    name = hashlib.sha256(f"{path.resolve()} {told.st_size} {told.st_mtime_ns}".encode()).hexdigest()[:16]
    copy = cache_folder() / f"{path.stem}-{name}.parquet"
    if not copy.is_file():
        copy_in_small_groups(path, copy)
    return copy


def copy_in_small_groups(path: Path, copy: Path) -> None:
    """A stream, but for a group's dictionary: pyarrow writes a column's first 1,024 values into one, pictures too."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile, ParquetWriter

    try:
        with (
            atomic_file(copy) as scratch,
            ParquetFile(path, buffer_size=2**20) as source,
            ParquetWriter(scratch, source.schema_arrow, use_dictionary=False, compression="none") as target,
        ):
            for batch in source.iter_batches(ROWS_OF_A_COPIED_GROUP, use_threads=False):
                target.write_batch(batch, row_group_size=ROWS_OF_A_COPIED_GROUP)
    finally:
        pa.default_memory_pool().release_unused()


def holds_pictures(kind: "pa.DataType") -> bool:
    """Is this type bytes, {bytes, path}, or a list of either?"""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        return "bytes" in {kind.field(place).name for place in range(kind.num_fields)}
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def is_list(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def sizes_of_groups(path: Path, columns: Iterable[str]) -> list[list[int]]:
    """Stored bytes of the columns in every row group: what a fingerprint can have without reading them."""
    footer, wanted = open_parquet(path, os.getpid()).metadata, set(columns)
    return [
        [
            part.total_compressed_size
            for part in map(footer.row_group(group).column, range(footer.num_columns))
            if part.path_in_schema.split(".")[0] in wanted
        ]
        for group in range(footer.num_row_groups)
    ]
