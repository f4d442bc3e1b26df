"""A teacher's scores from a table: query, page (named as in other tables) and score."""

import hashlib
import math
import os
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from collotype.families.retriever.data.pages import PageRef, document_in, refs_in
from collotype.families.retriever.data.pairs import RefPairs
from collotype.families.retriever.data.table_pairs import TablePairs
from collotype.runtime.errors import UserError
from collotype.runtime.tables import Table, need_column, open_table


class ScoreTable:
    """
    Args:
        path: of a parquet or .jsonl file with the columns query, page and score. A page is a path, a mapping as in a
            pairs table, an id of the source's corpus, or a number beside a column `document`.
        pairs: what is trained on, which may name its pages by ids.

    Raises:
        UserError: the table cannot be read, a row names no page or has no score, or a pair has two.
    """

    def __init__(self, path: str, pairs: RefPairs):
        self.path, table = path, open_table(path)
        for column in ("query", "page", "score"):
            need_column(table, column, hint="; a table of scores has query, page and score")
        self.files, self.scores = table.files, dict[tuple[str, Hashable], float]()
        lookup = pairs.corpus.page if isinstance(pairs, TablePairs) and pairs.corpus else None
        for row, (query, score) in enumerate(zip(table.values("query"), table.values("score"), strict=True)):
            if not isinstance(score, int | float) or not math.isfinite(score):
                raise UserError(f"{table.where(row)}: the score is {score!r}, not a finite number; correct the row.")
            named = (
                document_in(table, row, 1) if "document" in table.columns else refs_in(table, row, "page", 1, lookup)
            )
            for page in map(name_of, named):
                if self.scores.setdefault((query, page), score) != score:
                    raise twice(table, row, query)
            if not named:
                raise UserError(f"{table.where(row)} names no page; remove the row.")

    def sha256(self) -> str:
        return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in self.files)).hexdigest()

    def facts(self) -> dict[str, Any]:
        return {"source": self.path, "sha256": self.sha256(), "scores": len(self.scores)}

    def of(self, query: str, pages: Sequence[PageRef]) -> tuple[float, ...]:
        return tuple(self.scores[query, name_of(page)] for page in pages)

    def require_all(self, pairs: RefPairs) -> None:
        """
        Raises:
            UserError: a query's page, or an explicit negative of it, has no score.
        """
        missing = [
            (row, page)
            for row, query in enumerate(pairs.queries)
            for page in (*pairs.pages(row), *pairs.negatives(row))
            if (query, name_of(page)) not in self.scores
        ]
        if missing:
            row, page = missing[0]
            raise UserError(
                f"{self.path} has no score for the query {pairs.queries[row]!r} and the page {page_name(page)}, which "
                f"{pairs.where(row)} trains on ({len(missing):,} such pairs); add it, or remove the pair."
            )


def twice(table: Table, row: int, query: str) -> UserError:
    return UserError(
        f"{table.where(row)} scores {query!r} and its page differently than an earlier row; remove one of them."
    )


def name_of(page: PageRef) -> Hashable:
    """Equal for one place, however its path is written and whatever size it is drawn in."""
    fields = {name: value for name, value in vars(page).items() if name != "longest_px"}
    return tuple(os.path.abspath(value) if isinstance(value, Path) else value for value in fields.values())


def page_name(page: PageRef) -> str:
    return " ".join(f"{name} {value}" for name, value in page.written(Path()).items())
