"""Parquet files in the layouts of the datasets library: columns, and pictures at random without keeping them all."""

import hashlib
import io
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate, count
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image, ImageOps, UnidentifiedImageError

from collotype.runtime.errors import UserError

ORIENTATION = 0x0112
"""EXIF's tag of how a camera was held."""
KEPT_BYTES = 2**28
"""Row groups of pictures are kept up to this size in all, one at least."""


def find_tables(folder: Path, split: str) -> dict[str, list[Path]]:
    """The parquet files of a dataset's folder by configuration (`corpus`, `queries`, …), in order.

    Both layouts of the hub are read: CONFIG/SPLIT-00000-of-00001.parquet and CONFIG/SPLIT/0000.parquet; files that lie
    in `folder` itself or in `data` are of the configuration `default`. A configuration without `split` gives its only
    one.

    Raises:
        UserError: no parquet files, or several splits and none of that name.
    """
    if folder.is_file():
        return {"default": [folder]}
    by_config: dict[str, dict[str, list[Path]]] = {}
    for file in sorted(folder.rglob("*.parquet")):
        *above, _ = file.relative_to(folder).parts
        name = file.stem.partition("-")[0]
        if name.isdecimal() and above:
            *above, name = above
        config = above[-1] if above and above[-1] != "data" else "default"
        by_config.setdefault(config, {}).setdefault(name, []).append(file)
    if not by_config:
        raise UserError(f"{folder} holds no parquet files; give a folder with a copy of the dataset's.")
    return {config: choose_split(splits, split, folder / config) for config, splits in by_config.items()}


def choose_split(splits: dict[str, list[Path]], split: str, place: Path) -> list[Path]:
    if split in splits:
        return splits[split]
    if len(splits) == 1:
        return next(iter(splits.values()))
    raise UserError(f"{place} has the splits {', '.join(splits)} and no {split!r}; name one of them as the split.")


class ParquetTable:
    """The rows of parquet files, one after the other.

    Raises:
        UserError: a file cannot be read.
    """

    def __init__(self, files: Sequence[Path]):
        import pyarrow.parquet

        self.paths = list(files)
        self.files = [readable(path, lambda path=path: pyarrow.parquet.ParquetFile(path)) for path in self.paths]
        groups = [
            (file, group, opened.metadata.row_group(group).num_rows)
            for file, opened in enumerate(self.files)
            for group in range(opened.metadata.num_row_groups)
        ]
        self.groups = [(file, group) for file, group, _ in groups]
        self.starts = list(accumulate((rows for *_, rows in groups), initial=0))
        self.columns: list[str] = self.files[0].schema_arrow.names

    def __len__(self) -> int:
        return self.starts[-1]

    def find(self, *names: str) -> str | None:
        """The first of `names` that is a column."""
        return next((name for name in names if name in self.columns), None)

    def need(self, *names: str) -> str:
        found = self.find(*names)
        if found is None:
            raise UserError(
                f"{self.paths[0]} has no column {' or '.join(map(repr, names))}; it has {', '.join(self.columns)}."
            )
        return found

    def values(self, column: str) -> list[Any]:
        """The whole column; for texts and numbers."""
        return [
            value
            for path, file in zip(self.paths, self.files, strict=True)
            for value in readable(path, lambda file=file: file.read([column]).column(column).to_pylist())
        ]

    def batches(self, column: str) -> Iterator[Any]:
        """The column's values one after the other, a few of them in memory."""
        for path, file in zip(self.paths, self.files, strict=True):
            batches = file.iter_batches(batch_size=32, columns=[column])
            while (batch := readable(path, lambda batches=batches: next(batches, None))) is not None:
                yield from batch.column(0).to_pylist()

    def group(self, number: int, column: str) -> Any:
        """One row group's column, an arrow array."""
        file, group = self.groups[number]
        opened = self.files[file]
        return readable(
            self.paths[file], lambda: opened.read_row_group(group, [column]).column(column).combine_chunks()
        )


def readable(path: Path, read: Any) -> Any:
    """What `read` gives; what pyarrow says of a damaged file becomes a UserError."""
    import pyarrow

    try:
        return read()
    except (OSError, pyarrow.ArrowException) as error:
        problem = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be read as parquet ({problem}); copy it again.") from error


class ParquetPictures:
    """A column of pictures: encoded bytes, {"bytes", "path"} as the datasets library stores them, or paths of files."""

    _kept: ClassVar[OrderedDict[tuple[int, int], Any]] = OrderedDict()
    """The row groups read last, of all tables: (number of the table, of the group)."""
    _numbers: ClassVar[Iterator[int]] = count()

    def __init__(self, table: ParquetTable, column: str):
        self.table, self.column, self.number = table, column, next(self._numbers)
        self.digests: list[str] = []
        """Of each row's encoded picture."""
        self.sizes: list[tuple[int, int]] = []
        """(width, height) of each row's picture."""
        for row, value in enumerate(table.batches(column)):
            content = self._bytes(value, row)
            self.digests.append(hashlib.sha256(content).hexdigest())
            self.sizes.append(self._open(content, row).size)

    def image(self, row: int) -> Image.Image:
        number = bisect_right(self.table.starts, row) - 1
        value = self._group(number)[row - self.table.starts[number]].as_py()
        return self._open(self._bytes(value, row), row)

    def _group(self, number: int) -> Any:
        kept, key = self._kept, (self.number, number)
        if key not in kept:
            kept[key] = self.table.group(number, self.column)
        kept.move_to_end(key)
        while len(kept) > 1 and sum(group.nbytes for group in kept.values()) > KEPT_BYTES:
            kept.popitem(last=False)
        return kept[key]

    def _bytes(self, value: Any, row: int) -> bytes:
        path = value
        if isinstance(value, dict):
            value, path = value.get("bytes"), value.get("path")
        if isinstance(value, bytes):
            return value
        if not isinstance(path, str):
            raise UserError(f"{self._place(row)} holds no picture; leave the row out or fill it in.")
        try:
            return (self.table.paths[0].parent / path).read_bytes()
        except OSError as error:
            raise UserError(
                f"{self._place(row)} names the picture {path}, which cannot be read ({error.strerror})."
            ) from error

    def _open(self, content: bytes, row: int) -> Image.Image:
        try:
            image = Image.open(io.BytesIO(content))
            # upright, as training and mteb see it; only cameras' formats say so in their header
            if image.format in ("JPEG", "MPO") and image.getexif().get(ORIENTATION, 1) != 1:
                image = ImageOps.exif_transpose(image)
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"{self._place(row)} is no picture ({error}); replace it or leave it out.") from error
        # what a later error names
        image.filename = self._place(row)
        return image

    def _place(self, row: int) -> str:
        return f"{self.table.paths[0]}, row {row}, column {self.column}"
