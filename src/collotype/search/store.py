"""The store of an index: a Lance table with a row per page.

A row's `key` is a random number given when it is written, so a page that is written again has another one: what is
derived from a row (side files, what a reader holds) names the key, and cannot be taken for what replaced it.
Writers take turns within one machine; a commit is one batch, and a reader sees the commits before it or after it, never
half of one.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from collotype.runtime.errors import UserError
from collotype.runtime.files import file_lock, room_to_write
from collotype.search.pages import EncodedPage, Page, PageKey
from collotype.search.quantization import Precision, pack_boxes, pack_signs, pack_vectors, sign_bytes

if TYPE_CHECKING:
    from lance import LanceDataset

TABLE, WRITING = "pages.lance", ".writing"
"""The table, and the empty file that a writer holds."""
INTEGERS = pa.list_(pa.int32())
NEWER = {"label": pa.string(), "words_from": pa.string(), "vector_of": INTEGERS, "token_ids": INTEGERS}
"""Columns that an older table does not have before it is written to again."""
LIGHT = ["key", "document", "page", "digest", "count"]
OLD_VERSIONS_KEPT = timedelta(hours=1)
"""How long a reader may stay on a version that writers have left behind."""

LOOSE_PART, FEW_FILES = 0.2, 8
"""Of the rows, deleted or in small files, from which on the table is written anew; not for so few files, which are read
as fast as one: for an hour all rows would be there twice."""


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
            "label": NEWER["label"],
            "words_from": NEWER["words_from"],
            "words": pa.list_(pa.string()),
            "word_boxes": pa.list_(pa.list_(pa.uint16(), 4)),
            "count": pa.int32(),
            "scale": pa.float32(),
            "vectors": pa.list_(pa.list_(number, dim)),
            "boxes": pa.list_(pa.list_(pa.uint16(), 4)),
            "vector_of": NEWER["vector_of"],
            "token_ids": NEWER["token_ids"],
            "signs": pa.list_(pa.list_(pa.uint8(), sign_bytes(dim))),
        }
    )


@dataclass(frozen=True)
class Catalogue:
    """What of each page is held in memory, a row of the table each, in the table's order."""

    keys: np.ndarray
    """int64 [P]."""
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
    def number_of(self) -> dict[str, int]:
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
        return np.flatnonzero(self.documents == self.number_of[name]) if name in self.number_of else np.empty(0, int)


class Version:
    """The table as it was after one commit; what later commits do is not seen."""

    def __init__(self, table: "LanceDataset"):
        self.number: int = table.version
        self._table = table
        self.catalogue = self._read_catalogue()

    def _read_catalogue(self) -> Catalogue:
        rows = self._table.to_table(LIGHT)
        encoded = rows["document"].combine_chunks().dictionary_encode()
        return Catalogue(
            keys=rows["key"].to_numpy(),
            names=tuple(encoded.dictionary.to_pylist()),
            documents=encoded.indices.to_numpy(zero_copy_only=False),
            numbers=rows["page"].to_numpy(),
            counts=rows["count"].to_numpy(),
            digests=rows["digest"],
        )

    @cached_property
    def metadata(self) -> tuple[list[str], np.ndarray]:
        """The different metadata there are, as JSON, and which of them each page has, int [P]."""
        texts = self._table.to_table(["metadata"])["metadata"].combine_chunks().dictionary_encode()
        return texts.dictionary.to_pylist(), texts.indices.to_numpy(zero_copy_only=False)

    def take(self, places: Sequence[int] | np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Columns of the pages at these places of the catalogue, in their order."""
        there = set(self._table.schema.names)
        found = self._table.take(np.asarray(places).tolist(), [name for name in columns if name in there])
        for name in columns:
            if name not in there:
                found = found.append_column(name, pa.nulls(len(found), NEWER[name]))
        return found

    def scan(self, columns: Sequence[str], rows_at_once: int = 64) -> Iterator[pa.RecordBatch]:
        """All pages, streamed, in the table's order."""
        yield from self._table.to_batches(list(columns), batch_size=rows_at_once)


class Store:
    """The table of one index folder.

    Raises:
        UserError: `pylance` is not installed, or there is no table.
    """

    def __init__(self, folder: Path, dim: int, precision: Precision):
        self.folder, self.dim, self.precision = folder, dim, precision
        lance = library()
        try:
            self._head = lance.dataset(folder / TABLE)
        except Exception as error:
            raise UserError(
                f"The table of pages in {folder} is missing or damaged ({one_line(error)}); index the documents again "
                "into a new folder."
            ) from error
        have, want = self._head.schema, schema(dim, precision)
        if missing := [
            name
            for name in want.names
            if (name not in have.names and name not in NEWER)
            or (name in have.names and have.field(name).type != want.field(name).type)
        ]:
            raise UserError(
                f"The table in {folder} lacks the column {missing[0]} that this version of Collotype needs; index the "
                "documents again into a new folder."
            )

    @staticmethod
    def create(folder: Path, dim: int, precision: Precision) -> None:
        """An empty table; one that is there is dropped."""
        with room_to_write(folder):
            shutil.rmtree(folder / TABLE, ignore_errors=True)
            library().write_dataset(schema(dim, precision).empty_table(), folder / TABLE)

    def newest_version(self) -> int:
        return int(self._head.latest_version)

    def newest(self) -> "LanceDataset":
        dataset: LanceDataset = library().dataset(self.folder / TABLE)
        return dataset

    def snapshot(self) -> Version:
        return Version(self.newest())

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
            table = self.newest()
            if missing := [name for name in NEWER if name not in table.schema.names]:
                table.add_columns([pa.field(name, NEWER[name]) for name in missing])
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
            "vector_of": [encoded.vector_of for _, encoded in pages],
            "token_ids": [encoded.token_ids for _, encoded in pages],
            "signs": lists([signs_of(encoded) for _, encoded in pages]),
        }
        return pa.table({name: columns[name] for name in kinds.names}, schema=kinds)

    def compact(self, keep_versions: timedelta = OLD_VERSIONS_KEPT) -> None:
        """Small files into one, where that is worth it, and the files of versions older than `keep_versions` away."""
        with self.turn(), room_to_write(self.folder):
            table = self.newest()
            if worth_compacting([(one.physical_rows, one.num_deletions) for one in table.get_fragments()]):
                table.optimize.compact_files()
            table.cleanup_old_versions(keep_versions)


def worth_compacting(files: Sequence[tuple[int, int]]) -> bool:
    """All rows are copied, so not before a part is deleted or outside the largest file.

    Args:
        files: of each, the rows it has and how many of them are deleted.
    """
    written, deleted = sum(rows for rows, _ in files), sum(gone for _, gone in files)
    largest = max((rows for rows, _ in files), default=0)
    scattered = len(files) > FEW_FILES and largest < written * (1 - LOOSE_PART)
    return scattered or written > (written - deleted) * (1 + LOOSE_PART)


def library() -> ModuleType:
    """Lance's own Python: lancedb, which has the same tables, takes four times as long to import."""
    try:
        import lance
    except ImportError as error:
        raise UserError(
            f"An index needs pylance, which cannot be imported ({error}); "
            "install it with `pip install 'collotype[search]'`."
        ) from error
    return lance


def with_keys(keys: np.ndarray) -> str:
    """The rows of these keys, in Lance's language: numbers only, so no name can mean anything in it."""
    return f"key IN ({', '.join(map(str, keys.tolist()))})"


def signs_of(encoded: EncodedPage) -> np.ndarray:
    """Of a sparse page none: its weights are positive."""
    return pack_signs(encoded.vectors if encoded.token_ids is None else encoded.vectors[:0])


def lists(arrays: Sequence[np.ndarray]) -> pa.ListArray:
    """Arrays [n_i, W], n_i of any size, as one column."""
    width = arrays[0].shape[1]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(arrays).reshape(-1)), width)
    starts = np.concatenate([[0], np.cumsum([len(array) for array in arrays])]).astype(np.int32)
    return pa.ListArray.from_arrays(starts, flat)


def from_lists(column: pa.ChunkedArray | pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """A column's rows end to end [sum n_i, W], without copying, and where each list's begin, one more than lists."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    width = column.type.value_type.list_size
    starts = column.offsets.to_numpy()
    rows = column.values.slice(starts[0], starts[-1] - starts[0])
    numbers = rows.values.slice(rows.offset * width, len(rows) * width).to_numpy(zero_copy_only=True)
    return numbers.reshape(-1, width), (starts - starts[0]).astype(np.int64)


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
