"""Pages that another table names by id, or by row number."""

from collections.abc import Hashable
from functools import cached_property

from collotype.families.retriever.data.pages import PageRef, refs_in
from collotype.runtime.errors import UserError
from collotype.runtime.tables import Table, need_column

COLUMNS = (
    ": name the right one with query_column, image_column, negatives_column, corpus_id_column or corpus_image_column"
)
"""What to do where a column is missing."""


class NegativeCorpus:
    """The pages in a column of a table.

    Args:
        id_column: None numbers pages by row, from 0.
    """

    def __init__(self, table: Table, id_column: str | None, image_column: str, page_px: int):
        self.table, self.id_column, self.image_column, self.page_px = table, id_column, image_column, page_px
        for column in (image_column, id_column):
            if column:
                need_column(table, column, hint=COLUMNS)

    @cached_property
    def rows(self) -> dict[Hashable, int]:
        ids = self.table.values(self.id_column) if self.id_column else range(len(self.table))
        return {number: row for row, number in enumerate(ids)}

    def page(self, number: Hashable, where: str) -> PageRef:
        """
        Raises:
            UserError: there is no page of that id; `where` says what names it.
        """
        if number not in self.rows:
            by = f"the column {self.id_column!r}" if self.id_column else "row number"
            raise UserError(
                f"{where} names {number!r}, which is not a page of the corpus ({len(self.rows)} pages by {by})."
            )
        return refs_in(self.table, self.rows[number], self.image_column, self.page_px)[0]

    def digest(self) -> str:
        return self.table.digest([self.image_column, *([self.id_column] if self.id_column else [])])
