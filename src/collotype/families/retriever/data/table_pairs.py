"""`source: pairs`: queries and pages from a table."""

import hashlib
import os
from functools import cached_property
from pathlib import Path

from collotype.families.retriever.data.corpus import COLUMNS, NegativeCorpus
from collotype.families.retriever.data.pages import PageRef, document_in, refs_in
from collotype.families.retriever.data.pairs import RefPairs
from collotype.families.retriever.recipe import PairSource
from collotype.runtime.errors import UserError
from collotype.runtime.hub import Need
from collotype.runtime.hub.names import RENAMED, plain
from collotype.runtime.tables import Table, need_column, needs_of, open_table


def open_pairs(path: str, split: str, subset: str | None) -> Table:
    """The table at a path or of the hub.

    Raises:
        UserError: there is none, or its files are damaged or of different columns.
    """
    require_current(path)
    return open_table(path, split, subset)


def pair_needs(source: PairSource) -> list[Need]:
    """What `open_pairs` will fetch of the hub, if it will."""
    found = []
    for path in filter(None, (source.path, source.corpus)):
        require_current(path)
        found += needs_of(path, source.split, source.subset)
    return found


def require_current(path: str) -> None:
    """
    Raises:
        UserError: the path is the old name of a dataset, or a copy of one that is not here.
    """
    place, name = Path(path).expanduser(), plain(path)
    if name in RENAMED:
        raise UserError(f"The dataset {path} is now {RENAMED[name]}; set `path` to that name.")
    if place.name == "colpali_train_set" and name != "vidore/colpali_train_set" and not place.exists():
        raise UserError(
            f"There is no table {path}; the dataset is called vidore/colpali_train_set on the hub: set `path` to that."
        )


class TablePairs(RefPairs):
    """The rows of a table.

    Raises:
        UserError: the table is missing or damaged, or lacks a column; a row has no query.
    """

    def __init__(self, source: PairSource):
        self.source, self.num_negatives = source, source.negatives
        self.table, self.corpus = open_pairs(source.path, source.split, source.subset), None
        self.image_columns = [source.image_column, *([source.negatives_column] if source.negatives else [])]
        self.names_documents = {"document", "page"} <= set(self.table.columns)
        by_page = source.image_column not in self.table.columns and self.names_documents
        for column in (source.query_column, *self.image_columns[by_page:]):
            need_column(self.table, column, hint=COLUMNS)
        if source.corpus:
            pages = open_pairs(source.corpus, source.split, source.subset)
            self.corpus = NegativeCorpus(pages, source.corpus_id_column, source.corpus_image_column, source.page_px)
        self.queries = list(self.table.values(source.query_column)[: source.limit])
        self._require_queries()

    def _require_queries(self) -> None:
        empty = [row for row, query in enumerate(self.queries) if not isinstance(query, str) or not query.strip()]
        if empty:
            found = f"the query is {self.queries[empty[0]]!r}, not a text"
            raise UserError(
                f"{self.where(empty[0])}: {found} ({len(empty)} such rows); remove the rows without a query."
            )
        if not self.queries:
            raise UserError(f"The table {self.source.path} has no rows; set `path` or `split` to one that has.")

    def where(self, row: int) -> str:
        return self.table.where(row)

    def pages(self, row: int) -> tuple[PageRef, ...]:
        refs = self._refs(row, self.source.image_column)
        if not refs and self.names_documents:
            refs = document_in(self.table, row, self.source.page_px)
        if not refs:
            raise UserError(f"{self.where(row)} names no page; remove the row.")
        return refs

    def negatives(self, row: int) -> tuple[PageRef, ...]:
        return self._refs(row, self.source.negatives_column)

    def _refs(self, row: int, column: str) -> tuple[PageRef, ...]:
        return refs_in(self.table, row, column, self.source.page_px, self.corpus.page if self.corpus else None)

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        """Of the settings, the queries, what the cells name, and the names and sizes of files: not of images' bytes.

        Raises:
            UserError: a row names no page, or a file that is missing.
        """
        settings = self.source.model_dump(exclude={"path", "corpus", "weight"})
        content = hashlib.sha256(f"{settings} {self.table.digest(self.image_columns)}".encode())
        if self.corpus:
            content.update(self.corpus.digest().encode())
        for part in (*self.queries, *self._named_files()):
            content.update(part.encode() + b"\0")
        return content.hexdigest()

    def _named_files(self) -> list[str]:
        """Name (from the table's folder) and size of each file that cells name."""
        first_rows: dict[Path, int] = {}
        for column in self.image_columns:
            if not self.table.embeds(column):
                for row in range(len(self)):
                    for ref in self.pages(row) if column == self.source.image_column else self.negatives(row):
                        first_rows.setdefault(ref.path, row)
        named = []
        for path, row in first_rows.items():
            if not path.is_file():
                raise UserError(f"{self.where(row)} names {path}, which does not exist; copy it or correct the row.")
            named.append(f"{os.path.relpath(path, self.table.files[0].parent)} {path.stat().st_size}")
        return sorted(named)
