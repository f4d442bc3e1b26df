"""Pages that another table names by id, or by row number."""

from collections.abc import Hashable
from functools import cached_property

from collotype.families.retriever.data.pages import PageRef, refs_in
from collotype.runtime.errors import UserError
from collotype.runtime.tables import Table, need_column
from collotype.runtime.tables.cells import ids, text_of

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
    def rows(self) -> dict[str, int]:
        """
        Raises:
            UserError: an id is empty or a number with a point, or stands twice.
        """
        if self.id_column is None:
            return {str(row): row for row in range(len(self.table))}
        rows: dict[str, int] = {}
        for row, name in enumerate(ids(self.table, self.id_column)):
            if name in rows:
                raise UserError(
                    f"{self.table.where(row)}, column {self.id_column} is {name!r}, as is "
                    f"{self.table.where(rows[name])}; give each page its own id."
                )
            rows[name] = row
        return rows

    def page(self, number: Hashable, where: str) -> PageRef:
        """
        Raises:
            UserError: there is no page of that id; `where` says what names it.
        """
        try:
            name = text_of(number)
        except ValueError:
            raise UserError(
                f"{where} names {number!r} ({type(number).__name__}), but an id is a text or a whole number; correct "
                "the cell or remove the row."
            ) from None
        if name not in self.rows:
            by = f"the column {self.id_column!r}" if self.id_column else "row number"
            raise UserError(
                f"{where} names {number!r}, which is not a page of the corpus ({len(self.rows)} pages by {by})."
            )
        return refs_in(self.table, self.rows[name], self.image_column, self.page_px)[0]

    def digest(self) -> str:
        return self.table.digest([self.image_column, *([self.id_column] if self.id_column else [])])
