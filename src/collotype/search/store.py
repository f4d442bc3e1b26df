"""The store of record: a Lance table of pages, one row each.

A row's `key` is a random number given when it is written, so a page that is written again has another one: what is
derived from a row (side files, what a reader holds) names the key, and cannot be taken for what replaced it.
Writers take turns within one machine; a commit is one batch, and a reader sees the commits before it or after it, never
half of one.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from collotype.runtime.errors import UserError
from collotype.runtime.files import file_lock, room_to_write
from collotype.search.pages import EncodedPage, Page, PageKey
from collotype.search.quantization import Precision, pack_boxes, pack_signs, pack_vectors, sign_bytes

if TYPE_CHECKING:
    import lancedb

TABLE, WRITING = "pages", ".writing"
"""The table, and the empty file that a writer holds."""
ALL = 2**31 - 1
"""A limit that is none: without one, Lance gives ten rows."""
NEWER = ("label", "words_from")
"""Columns that an older table does not have before it is written to again."""
LIGHT = ["key", "document", "page", "digest", "count"]
OLD_VERSIONS_KEPT = timedelta(hours=1)
"""How long a reader may stay on a version that writers have left behind."""

LOOSE_PART = 0.2
"""Of the rows, deleted or in small files, from which on the table is written anew."""


def schema(dim: int, precision: Precision) -> pa.Schema:
    number = pa.float16() if precision == "fp16" else pa.int8()
    return pa.schema(
        {
            "id": pa.string(),
            "key": pa.int64(),
            "document": pa.string(),
            "page": pa.int32(),
            "digest": pa.string(),
            "width": pa.int32(),
            "height": pa.int32(),
            "metadata": pa.string(),
            "label": pa.string(),
            "words_from": pa.string(),
            "words": pa.list_(pa.string()),
            "word_boxes": pa.list_(pa.list_(pa.uint16(), 4)),
            "count": pa.int32(),
            "scale": pa.float32(),
            "vectors": pa.list_(pa.list_(number, dim)),
            "boxes": pa.list_(pa.list_(pa.uint16(), 4)),
            "signs": pa.list_(pa.list_(pa.uint8(), sign_bytes(dim))),
        }
    )


@dataclass(frozen=True)
class Catalogue:
    """What of each page is held in memory, a row of the table each."""

    keys: np.ndarray
    """int64 [P]."""
    rows: np.ndarray
    """Lance's row ids of this version, uint64 [P]."""
    names: tuple[str, ...]
    """Of the documents."""
    documents: np.ndarray
    """The place of each page's document in `names`, int32 [P]."""
    numbers: np.ndarray
    """Page numbers, int32 [P]."""
    counts: np.ndarray
    """Vectors of each page, int32 [P]."""
    digests: pa.ChunkedArray

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def place_of(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def order(self) -> np.ndarray:
        """Rows by key."""
        return np.argsort(self.keys)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The row of each key, -1 where it is not (any more) in the table."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        at = np.minimum(np.searchsorted(self.keys, keys, sorter=self.order), len(self.keys) - 1)
        rows = self.order[at]
        return np.where(self.keys[rows] == keys, rows, -1)

    @cached_property
    def row_of(self) -> dict[PageKey, int]:
        """The row of each page."""
        return {page: row for row, page in enumerate(self.page_keys(np.arange(len(self))))}

    def page_keys(self, rows: np.ndarray) -> list[PageKey]:
        """The document and number of the pages of these rows."""
        names = [self.names[place] for place in self.documents[rows].tolist()]
        return list(zip(names, self.numbers[rows].tolist(), strict=True))

    def of_document(self, name: str) -> np.ndarray:
        """The rows of a document's pages."""
        return np.flatnonzero(self.documents == self.place_of[name]) if name in self.place_of else np.empty(0, int)


class Version:
    """The table as it was after one commit; what later commits do is not seen."""

    def __init__(self, table: "lancedb.Table"):
        self.number: int = table.version
        table.checkout(self.number)
        self._table = table
        self.catalogue = self._read_catalogue()

    def _read_catalogue(self) -> Catalogue:
        rows = self._table.search().select(LIGHT).with_row_id(True).limit(ALL).to_arrow()
        encoded = rows["document"].combine_chunks().dictionary_encode()
        return Catalogue(
            keys=rows["key"].to_numpy(),
            rows=rows["_rowid"].to_numpy(),
            names=tuple(encoded.dictionary.to_pylist()),
            documents=encoded.indices.to_numpy(zero_copy_only=False),
            numbers=rows["page"].to_numpy(),
            counts=rows["count"].to_numpy(),
            digests=rows["digest"],
        )

    @cached_property
    def metadata(self) -> tuple[list[str], np.ndarray]:
        """The different metadata there are, as JSON, and which of them each page has, int [P]."""
        rows = self._table.search().select(["key", "metadata"]).limit(ALL).to_arrow()
        texts = rows["metadata"].combine_chunks().dictionary_encode()
        of_page = np.empty(len(rows), int)
        of_page[self.catalogue.find(rows["key"].to_numpy())] = texts.indices.to_numpy(zero_copy_only=False)
        return texts.dictionary.to_pylist(), of_page

    def take(self, places: Sequence[int] | np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Columns of the pages at these places of the catalogue, in their order."""
        keys = self.catalogue.keys[places]
        row_ids = self.catalogue.rows[places].tolist()
        there = set(self._table.schema.names)
        found = (
            self._table.take_row_ids(row_ids).select(["key", *(name for name in columns if name in there)]).to_arrow()
        )
        for name in columns:
            if name not in there:
                found = found.append_column(name, pa.nulls(len(found), pa.string()))
        have = found["key"].to_numpy()
        if np.array_equal(have, keys):
            return found
        order = np.argsort(have)
        return found.take(order[np.searchsorted(have, keys, sorter=order)])

    def scan(self, columns: Sequence[str], rows_at_once: int = 64) -> Iterator[pa.RecordBatch]:
        """All pages, streamed, in Lance's order."""
        yield from self._table.search().select(list(columns)).limit(ALL).to_batches(rows_at_once)


class Store:
    """The table of one index folder.

    Raises:
        UserError: `lancedb` is not installed, or there is no table.
    """

    def __init__(self, folder: Path, dim: int, precision: Precision):
        self.folder, self.dim, self.precision = folder, dim, precision
        self._database = connect(folder)
        try:
            self._head = self._database.open_table(TABLE)
        except Exception as error:
            raise UserError(
                f"{folder} has lost its table of pages ({one_line(error)}); "
                "index the documents again into a new folder."
            ) from error
        have, want = self._head.schema, schema(dim, precision)
        if missing := [
            name
            for name in want.names
            if (name not in have.names and name not in NEWER)
            or (name in have.names and have.field(name).type != want.field(name).type)
        ]:
            raise UserError(
                f"The table in {folder} has no column {missing[0]} as this version of collotype writes it; "
                "index the documents again into a new folder."
            )

    @staticmethod
    def create(folder: Path, dim: int, precision: Precision) -> None:
        """An empty table; one that is there is dropped."""
        with room_to_write(folder):
            database = connect(folder)
            database.drop_table(TABLE, ignore_missing=True)
            database.create_table(TABLE, schema=schema(dim, precision))

    def newest_version(self) -> int:
        self._head.checkout_latest()
        return self._head.version

    def snapshot(self) -> Version:
        return Version(self._database.open_table(TABLE))

    def write(
        self, pages: Sequence[tuple[Page, EncodedPage]], gone: Callable[[Catalogue], np.ndarray] | None = None
    ) -> int:
        """One commit: each page in place of the one with its id, and other rows deleted; how many of these.

        Args:
            gone: which rows are to be deleted; asked when no other writer can come between.
        """
        with self.turn():
            old = np.empty(0, np.int64)
            if gone:
                catalogue = self.snapshot().catalogue
                old = catalogue.keys[gone(catalogue)]
            table = self._database.open_table(TABLE)
            if missing := [name for name in NEWER if name not in table.schema.names]:
                table.add_columns({name: "cast(NULL as string)" for name in missing})
            if pages:
                merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
                if len(old):
                    merge = merge.when_not_matched_by_source_delete(with_keys(old))
                merge.execute(self.rows(pages))
            elif len(old):
                table.delete(with_keys(old))
        return len(old)

    def turn(self) -> AbstractContextManager[None]:
        return file_lock(self.folder / WRITING)

    def rows(self, pages: Sequence[tuple[Page, EncodedPage]]) -> pa.Table:
        packed = [pack_vectors(encoded.vectors, self.precision) for _, encoded in pages]
        words = [page.words for page, _ in pages]
        kinds = schema(self.dim, self.precision)
        columns = {
            "id": [page.id for page, _ in pages],
            "key": [int.from_bytes(os.urandom(8)) >> 1 for _ in pages],
            "document": [page.document for page, _ in pages],
            "page": [page.number for page, _ in pages],
            "digest": [page.digest for page, _ in pages],
            "width": [page.size[0] for page, _ in pages],
            "height": [page.size[1] for page, _ in pages],
            "metadata": [json.dumps(page.metadata, ensure_ascii=False, sort_keys=True) for page, _ in pages],
            "label": [page.label or None for page, _ in pages],
            "words_from": [page.words_from or None for page, _ in pages],
            # text layers have halves of characters, which no table takes
            "words": [[word.text.encode(errors="replace").decode() for word in each] for each in words],
            "word_boxes": lists(
                [pack_boxes(np.array([w.box for w in each], np.float32).reshape(-1, 4)) for each in words]
            ),
            "count": [len(vectors) for vectors, _ in packed],
            "scale": [scale for _, scale in packed],
            "vectors": lists([vectors for vectors, _ in packed]),
            "boxes": lists([pack_boxes(encoded.boxes) for _, encoded in pages]),
            "signs": lists([pack_signs(encoded.vectors) for _, encoded in pages]),
        }
        return pa.table({name: columns[name] for name in kinds.names}, schema=kinds)

    def compact(self, keep_versions: timedelta = OLD_VERSIONS_KEPT) -> None:
        """Small files into one, where that is worth it, and the files of versions older than `keep_versions` away."""
        with self.turn(), room_to_write(self.folder):
            table = self._database.open_table(TABLE)
            if worth_compacting(table.stats()):
                table.optimize(cleanup_older_than=keep_versions)


def worth_compacting(stats: dict) -> bool:
    """All rows are copied, so not before a part is deleted or outside the largest file; of one file nothing is."""
    files = stats["fragment_stats"]
    written = files["num_fragments"] * files["lengths"]["mean"]
    loose = written > stats["num_rows"] * (1 + LOOSE_PART) or files["lengths"]["max"] < written * (1 - LOOSE_PART)
    return loose or files["num_fragments"] == 1


def connect(folder: Path) -> "lancedb.DBConnection":
    try:
        import lancedb
    except ImportError as error:
        raise UserError(
            f"An index needs lancedb, which cannot be imported ({error}); "
            "install it with `pip install 'collotype[search]'`."
        ) from error
    return lancedb.connect(folder)


def with_keys(keys: np.ndarray) -> str:
    """The rows of these keys, in Lance's language: numbers only, so no name can mean anything in it."""
    return f"key IN ({', '.join(map(str, keys.tolist()))})"


def lists(arrays: Sequence[np.ndarray]) -> pa.ListArray:
    """Arrays [n_i, W], n_i of any size, as one column."""
    width = arrays[0].shape[1]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(arrays).reshape(-1)), width)
    starts = np.concatenate([[0], np.cumsum([len(array) for array in arrays])]).astype(np.int32)
    return pa.ListArray.from_arrays(starts, flat)


def parts(column: pa.ChunkedArray | pa.ListArray) -> tuple[pa.Array, int, np.ndarray]:
    """A column's numbers end to end, without copying; how many make a row; where each list's rows begin and end."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    width = column.type.value_type.list_size
    starts = column.offsets.to_numpy()
    rows = column.values.slice(starts[0], starts[-1] - starts[0])
    return rows.values.slice(rows.offset * width, len(rows) * width), width, (starts - starts[0]).astype(np.int64)


def from_lists(column: pa.ChunkedArray | pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """A column's rows end to end [sum n_i, W], and where each list's begin, one more than there are lists."""
    numbers, width, starts = parts(column)
    return numbers.to_numpy(zero_copy_only=True).reshape(-1, width), starts


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
