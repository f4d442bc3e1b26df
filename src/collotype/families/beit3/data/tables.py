"""Questions in a table: parquet, JSON lines, CSV."""

import json
import os
import re
from array import array
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np

from collotype.families.beit3.data.annotations import ONLY, Answered, AnswersWriter, require_enough
from collotype.families.beit3.data.images import ImageFiles, QuestionImages, QuestionTableImages
from collotype.families.beit3.data.questions import Questions, QuestionSource, Row
from collotype.runtime.errors import UserError
from collotype.runtime.tables import Table, find_column, need_column
from collotype.runtime.tables.cells import cells, wrong_cell

IMAGE_COLUMNS = ("image", "picture", "image_path", "path", "filepath")
QUESTION_COLUMNS, ANSWER_COLUMNS = ("question", "query"), ("answers", "answer")
ID_COLUMNS, IMAGE_ID_COLUMNS = ("question_id", "qid", "id"), ("image_id", "picture_id")
TYPE_COLUMNS = ("answer_type", "question_type")
"""VQAv2's, for accuracy by type."""


def read_table(
    table: Table,
    picture_column: str | None = None,
    question_column: str | None = None,
    answer_column: str | None = None,
    id_column: str | None = None,
) -> QuestionSource:
    """The rows of a table: an image or its path, a question, and what people answered to it.

    Answers are a list (ten people's, say, or dicts with `answer` as the hub has VQAv2), one text, or {answer: count};
    in cells of text also as JSON. A row may have none, and so may a table. Paths are relative to the table's folder.

    Args:
        picture_column, question_column, answer_column: none: the first of the usual names that is there.
        id_column: of integers; None: the first of the usual names, else (and where it has texts) rows count from 0.

    Raises:
        UserError: a column is missing, a row has no image or question, two have one id, or a row has answers of two
            or three people, with which none could be wholly right.
    """
    question = need_column(table, *([question_column] if question_column else QUESTION_COLUMNS))
    image = need_column(table, *([picture_column] if picture_column else IMAGE_COLUMNS))
    answer = need_column(table, answer_column) if answer_column else find_column(table, *ANSWER_COLUMNS)
    if table.embeds(image) == "list":
        raise UserError(
            f"The column {image!r} of {table.files[0]} contains lists; name a column with one image per row."
        )
    seen = TableImagesSeen(table, image)
    writer, most_frequent = AnswersWriter(), Counter[str]()
    types = [find_column(table, name) for name in TYPE_COLUMNS]

    def rows() -> Iterator[Row]:
        ids = ids_of(table, id_column)
        cells = zip(ids, table.stream(question), seen.numbers(), strict=True)
        answers = table.stream(answer) if answer else (None for _ in range(len(table)))
        kinds = zip(*(table.stream(name) if name else [""] * len(table) for name in types), strict=True)
        for row, ((number, text, shown), said, kind) in enumerate(zip(cells, answers, kinds, strict=True)):
            if not isinstance(text, str) or not text.strip():
                raise wrong_cell(table, row, question, text, "a question")
            people = people_of(said, table, row, answer or "")
            if people:
                most_frequent[max(people, key=people.__getitem__)] += 1
            known = writer.append(Answered(people, *(str(name or "") for name in kind))) if people else -1
            yield Row(number, shown, text, known)

    return QuestionSource(Questions.pack(rows(), writer.packed, seen.images, str(table.files[0])), most_frequent)


class TableImagesSeen:
    """Numbers the images of a column: those of one path are one, those of one `image_id`, else a row has its own."""

    def __init__(self, table: Table, column: str):
        self.table, self.column, self.root = table, column, table.files[0].parent
        self.embedded = table.embeds(column) is not None
        self._known: dict[Hashable, int] = {}
        self._first_rows = array("q")

    def numbers(self) -> Iterator[int]:
        """By row.

        Raises:
            UserError: a row has no image.
        """
        for row, key in enumerate(self._keys()):
            if key not in self._known:
                self._known[key] = len(self._known)
                self._first_rows.append(row)
            yield self._known[key]

    def _keys(self) -> Iterator[Hashable]:
        if self.embedded:
            by = find_column(self.table, *IMAGE_ID_COLUMNS)
            yield from self.table.stream(by) if by else range(len(self.table))
            return
        for row, cell in enumerate(self.table.stream(self.column)):
            path = cell.get("path") if isinstance(cell, Mapping) else cell
            if not path or not isinstance(path, str):
                raise wrong_cell(self.table, row, self.column, path, "an image's path")
            folder = self.table.place(row)[0].parent
            yield path if folder == self.root else os.path.relpath(folder / path, self.root)

    def images(self) -> QuestionImages:
        if self.embedded:
            return QuestionTableImages(self.table, self.column, np.array(self._first_rows))
        return ImageFiles(self.root, map(str, self._known))


def ids_of(table: Table, column: str | None) -> list[int]:
    """
    Raises:
        UserError: the named column is not there or has something else than integers.
    """
    name = need_column(table, column) if column else find_column(table, *ID_COLUMNS)
    if name is None:
        return list(range(len(table)))
    values = table.values(name)
    if column is None and all(isinstance(value, str) and not value.isdecimal() for value in values):
        return list(range(len(table)))
    return cells(table, name, integer, f"a whole number, as an id of {table.files[0].name} has to be")


def integer(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"-?\d+", str(value)):
        raise ValueError
    return int(value)


def people_of(cell: Any, table: Table, row: int, column: str) -> dict[str, int]:
    """How many gave each answer, in order of first occurrence; ONLY where one person was asked.

    Raises:
        UserError: the cell is something else, or has two or three people's answers.
    """
    try:
        counts = counts_of(cell)
    except (KeyError, TypeError, ValueError) as error:
        raise wrong_cell(table, row, column, cell, "a text, a list of them, or {answer: count}") from error
    people = sum(counts.values())
    if people == 1:
        return dict.fromkeys(counts, ONLY)
    if people:
        require_enough(people, table.where(row))
    return counts


def counts_of(cell: Any) -> dict[str, int]:
    if isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{"):
        cell = json.loads(cell)
    if cell is None or cell == "":
        return {}
    if isinstance(cell, Mapping):
        cell = list(cell.items())
    if not isinstance(cell, list):
        return {text_of(cell): 1}
    counts: Counter[str] = Counter()
    for one in cell:
        # parquet writes a map as pairs, and what a row's dict lacks as null
        answer, count = one if isinstance(one, tuple) else (one["answer"] if isinstance(one, Mapping) else one, 1)
        if count:
            counts[text_of(answer)] += integer(count)
    return dict(counts)


def text_of(answer: Any) -> str:
    if isinstance(answer, bool) or not isinstance(answer, str | int | float) or answer != answer:
        raise TypeError(f"{answer!r} is not text")
    return str(answer)
