"""The layout of ViDoRe v1: rows of a query (None for a distractor page) and the page that answers it."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from collotype.evaluation.results import MtebTask
from collotype.families.retriever.benchmarks.benchmark import HEADLINE, Counting, Pages, RetrievalBenchmark, event
from collotype.runtime.errors import UserError
from collotype.runtime.tables import ImageColumn, Table, cells, find_column, find_tables, need_column, open_files

TEXT_COLUMNS = ("text_description", "markdown", "text")
"""Where a page's text may stand, the first that is there."""


def read_qa(
    name: str,
    folder: Path,
    split: str = "test",
    counting: Counting = "mteb",
    headline: str = HEADLINE,
    task: MtebTask | None = None,
    published: Mapping[str, int] | None = None,
) -> RetrievalBenchmark:
    """Columns query, image, image_filename; text_description, markdown or text where there is one.

    mteb's counting: pages are one where their images are the same bytes, queries where their texts are the same; a
    query's right pages are those of all its rows. vidore-benchmark's: a page is known by its image_filename, and a
    query that stands in several rows has the last row's page as its only right one.

    Raises:
        UserError: a column is missing, or no row has a query.
    """
    tables = find_tables(folder, split)
    if len(tables) > 1 and "default" not in tables:
        raise UserError(
            f"{folder} has the configurations {', '.join(tables)}, so it does not have the qa layout; try beir."
        )
    table = open_files(tables["default"] if "default" in tables else next(iter(tables.values())))
    texts = cells.texts(table, need_column(table, "query"), blank=True)
    images = ImageColumn(table, need_column(table, "image"))
    by_name = counting == "vidore-benchmark"
    filenames = cells.texts(table, need_column(table, "image_filename")) if by_name else [""] * len(table)
    rows_of = first_rows([*zip(filenames, images.digests, strict=True)])
    first = list(dict.fromkeys(rows_of))
    number = {row: place for place, row in enumerate(first)}
    ids = [str(place) if counting == "mteb" else filenames[row] for place, row in enumerate(first)]
    queries: dict[str, str] = {}
    known: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for row, text in enumerate(texts):
        if text is None or not text.strip():
            continue
        if text not in known:
            known[text] = f"q{len(known)}"
            queries[known[text]] = text
        page = {ids[number[rows_of[row]]]: 1}
        qrels[known[text]] = page if counting == "vidore-benchmark" else {**qrels.get(known[text], {}), **page}
    if not queries:
        raise UserError(f"No row of {folder} has a query, so there is nothing to evaluate; fill in the column query.")
    asked = sum(text is not None and bool(text.strip()) for text in texts)
    events = (
        *event("pages-merged", len(table) - len(first), "rows repeat a page of an earlier row"),
        *event("queries-merged", asked - len(queries), "rows ask what an earlier row asks"),
        *event("blank-queries", sum(text is not None and not text.strip() for text in texts), "taken as no query"),
    )
    pages = image_pages(table, images, first, ids)
    return RetrievalBenchmark(name, queries, pages, qrels, "default", headline, counting, events, task, published or {})


def first_rows(keys: Sequence[object]) -> list[int]:
    """For each row the first row of the same key."""
    seen: dict[object, int] = {}
    return [seen.setdefault(key, row) for row, key in enumerate(keys)]


def image_pages(table: Table, images: ImageColumn, rows: Sequence[int], ids: Sequence[str]) -> Pages:
    """The pages in these rows of a table."""
    column = find_column(table, *TEXT_COLUMNS)
    texts = cells.texts(table, column, blank=True) if column else []
    return Pages(
        ids,
        image=lambda page: images.image(rows[page]),
        size=lambda page: images.sizes[rows[page]],
        fingerprint=hashlib.sha256(" ".join(images.digests[row] for row in rows).encode()).hexdigest(),
        text=(lambda page: texts[rows[page]] or "") if column else None,
        text_from=f"the column {column}" if column else Pages.text_from,
    )
