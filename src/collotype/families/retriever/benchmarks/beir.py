"""The layout of ViDoRe v2, v3 and mteb's copies: separate tables of corpus, queries and judgements.

BEIR's own files are read, too: `corpus.jsonl`, `queries.jsonl`, `qrels/SPLIT.tsv`.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from collotype.evaluation.results import MtebTask
from collotype.families.retriever.benchmarks.benchmark import (
    HEADLINE,
    Counting,
    Event,
    Pages,
    RetrievalBenchmark,
    event,
)
from collotype.families.retriever.benchmarks.qa import image_pages
from collotype.runtime.errors import UserError
from collotype.runtime.tables import ImageColumn, Table, find_column, find_tables, need_column, open_files
from collotype.runtime.tables.cells import grades, ids, texts

PAGE_ID, QUERY_ID = ("corpus-id", "corpus_id", "_id", "id"), ("query-id", "query_id", "_id", "id")
"""The names of the id columns in the published sets."""
BEIR_CORPUS = "corpus.jsonl"
PARTS = {"corpus": ("corpus",), "queries": ("queries", "query"), "qrels": ("qrels", "default")}
"""The configurations of a set; mteb's format calls the judgements `default` where there is one language."""


def read_beir(
    name: str,
    folder: Path,
    split: str = "test",
    counting: Counting = "mteb",
    headline: str = HEADLINE,
    task: MtebTask | None = None,
    published: Mapping[str, int] | None = None,
) -> list[RetrievalBenchmark]:
    """A benchmark for each language subset.

    Configurations corpus{corpus-id, image}, queries{query-id, query}, qrels{query-id, corpus-id, score}; the languages
    are configurations of their own (`french-queries`) or values of a column `language`. A `task` of one language takes
    all queries as one subset.

    Raises:
        UserError: a configuration or column is missing, or nothing is judged.
    """
    tables = beir_files(folder, split) if (folder / BEIR_CORPUS).is_file() else find_tables(folder, split)
    prefixes = sorted(config.removesuffix("corpus") for config in tables if config.endswith("-corpus")) or [""]
    read: dict[str, BeirCorpus] = {}
    found = []
    for prefix in prefixes:
        parts = {part: part_of(tables, prefix, names, folder) for part, names in PARTS.items()}
        corpus = BeirCorpus(open_files(parts["corpus"]))
        # languages mostly search the same pages: they are kept, and then encoded, once
        corpus = read.setdefault(corpus.pages.fingerprint + repr(corpus.pages.ids), corpus)
        queries, qrels = open_files(parts["queries"]), read_qrels(open_files(parts["qrels"]))
        column = find_column(queries, "language") if not prefix and (task is None or len(task.languages) > 1) else None
        languages = texts(queries, column) if column else [prefix.removesuffix("-") or "default"] * len(queries)
        asked = read_queries(queries)
        for language in dict.fromkeys(languages):
            own = {query: text for (query, text), of in zip(asked.items(), languages, strict=True) if of == language}
            kept, judged, events = judge(own, qrels, corpus.pages.ids, f"{folder} ({language})")
            found.append(
                RetrievalBenchmark(
                    name, kept, corpus.pages, judged, language, headline, counting, events, task, published or {}
                )
            )
    return found


class BeirCorpus:
    """The pages of a corpus table.

    Raises:
        UserError: two pages have one id, or a cell is not an id.
    """

    def __init__(self, table: Table):
        self.pages: Pages
        names = ids(table, need_column(table, *PAGE_ID))
        require_once(names, table, "page")
        if find_column(table, "image") is None and find_column(table, "text"):
            self.pages = text_pages(table, names)
        else:
            self.pages = image_pages(table, ImageColumn(table, need_column(table, "image")), range(len(names)), names)


def require_once(names: list[str], table: Table, what: str) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(
            f"{table.files[0]} has the {what} {twice} {names.count(twice)} times; give each {what} its own id."
        )


def text_pages(table: Table, names: list[str]) -> Pages:
    """Texts below their titles, as BEIR has them: what searches words can be measured on them."""
    column = find_column(table, "title")
    titles = texts(table, column, blank=True) if column else [None] * len(table)
    pages = [
        f"{title or ''} {text or ''}".strip() for title, text in zip(titles, texts(table, "text", True), strict=True)
    ]

    def no_image(page: int) -> Any:
        raise UserError(f"{table.files[0]} has texts but no column image, so only bm25 and reader can search it.")

    digest = hashlib.sha256("\0".join(pages).encode()).hexdigest()
    return Pages(names, no_image, no_image, digest, pages.__getitem__, "the columns title and text")


def beir_files(folder: Path, split: str) -> dict[str, list[Path]]:
    """
    Raises:
        UserError: the queries, or the judgements of that split, are not there.
    """
    files = {"corpus": folder / BEIR_CORPUS, "queries": folder / "queries.jsonl"}
    files["qrels"] = folder / "qrels" / f"{split}.tsv"
    for file in files.values():
        if not file.is_file():
            there = ", ".join(sorted(found.name for found in file.parent.glob("*"))) or "nothing"
            raise UserError(f"There is no {file} next to {BEIR_CORPUS} (there is {there}); copy it, or name the split.")
    return {part: [file] for part, file in files.items()}


def part_of(tables: Mapping[str, list[Path]], prefix: str, names: tuple[str, ...], folder: Path) -> list[Path]:
    for name in names:
        if prefix + name in tables:
            return tables[prefix + name]
    raise UserError(
        f"{folder} has no configuration {prefix}{names[0]}; it has {', '.join(sorted(tables))}, and the beir layout "
        "needs corpus, queries and qrels."
    )


def read_queries(table: Table) -> dict[str, str]:
    names, asked = ids(table, need_column(table, *QUERY_ID)), texts(table, need_column(table, "query", "text"))
    require_once(names, table, "query")
    return dict(zip(names, asked, strict=True))


def read_qrels(table: Table) -> dict[str, dict[str, int]]:
    """
    Raises:
        UserError: a cell is not an id or grade, or a page is judged twice, and not alike.
    """
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    queries, pages = (ids(table, need_column(table, *names)) for names in (QUERY_ID, PAGE_ID))
    scores = grades(table, need_column(table, "score"))
    for row, (query, page, score) in enumerate(zip(queries, pages, scores, strict=True)):
        if qrels[query].setdefault(page, score) != score:
            raise UserError(
                f"{table.where(row)} judges page {page} for query {query} as {score}, but an earlier row as "
                f"{qrels[query][page]}; remove one of them."
            )
    return qrels


def judge(
    queries: Mapping[str, str], qrels: Mapping[str, Mapping[str, int]], pages: Iterable[str], where: str
) -> tuple[dict[str, str], dict[str, dict[str, int]], tuple[Event, ...]]:
    """The queries with a right page and their judgements; what else there is becomes events.

    A right page that the corpus lacks stays in the judgements (it can never be found), as trec_eval has it.

    Raises:
        UserError: no query has a right page, or none of those is in the corpus.
    """
    there = set(pages)
    right = {query for query in queries if any(score > 0 for score in qrels.get(query, {}).values())}
    if not right:
        raise UserError(
            f"No query of {where} has a relevant page, so there is nothing to evaluate: the queries have ids such as "
            f"{some(queries)}, but the judgements are for {some(qrels)}; correct the ids."
        )
    judged = {query: dict(qrels[query]) for query in queries if query in right}
    wanted = [page for scores in judged.values() for page, score in scores.items() if score > 0]
    lacking = sum(page not in there for page in wanted)
    if lacking == len(wanted):
        raise UserError(
            f"None of the {lacking} relevant pages of {where} is in its corpus: they have ids such as {some(wanted)}, "
            f"but the corpus has {some(pages)}; correct the ids."
        )
    events = (
        *event("queries-without-answer", len(queries) - len(right), "left out as in mteb: no page answers them"),
        *event("right-pages-missing", lacking, "judgements name a relevant page that is not in the corpus"),
    )
    return {query: text for query, text in queries.items() if query in right}, judged, events


def some(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in list(names)[:3]) or "nothing"
