"""The layout of ViDoRe v2, v3 and mteb's copies: corpus, queries and judgements in tables of their own."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from collotype.evaluation.results import MtebTask
from collotype.families.retriever.benchmarks.benchmark import HEADLINE, Benchmark, Counting, Event, event
from collotype.families.retriever.benchmarks.qa import picture_pages
from collotype.runtime.errors import UserError
from collotype.runtime.tables import PictureColumn, Table, find_column, find_tables, need_column, open_files

PAGE_ID, QUERY_ID = ("corpus-id", "corpus_id", "_id", "id"), ("query-id", "query_id", "_id", "id")
"""The names of the id columns in the published sets."""
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
) -> list[Benchmark]:
    """A benchmark for each language subset.

    Configurations corpus{corpus-id, image}, queries{query-id, query}, qrels{query-id, corpus-id, score}; the languages
    are configurations of their own (`french-queries`) or values of a column `language`. A `task` of one language takes
    all queries as one subset.

    Raises:
        UserError: a configuration or column is missing, or nothing is judged.
    """
    tables = find_tables(folder, split)
    prefixes = sorted(config.removesuffix("corpus") for config in tables if config.endswith("-corpus")) or [""]
    read: dict[str, Corpus] = {}
    found = []
    for prefix in prefixes:
        parts = {part: part_of(tables, prefix, names, folder) for part, names in PARTS.items()}
        corpus = Corpus(open_files(parts["corpus"]))
        # languages mostly search the same pages: they are kept, and then encoded, once
        corpus = read.setdefault(corpus.pages.fingerprint + repr(corpus.pages.ids), corpus)
        queries, qrels = open_files(parts["queries"]), read_qrels(open_files(parts["qrels"]))
        column = find_column(queries, "language") if not prefix and (task is None or len(task.languages) > 1) else None
        languages = queries.values(column) if column else [prefix.removesuffix("-") or "default"] * len(queries)
        ids = map(str, queries.values(need_column(queries, *QUERY_ID)))
        texts = dict(zip(ids, queries.values(need_column(queries, "query", "text")), strict=True))
        for language in dict.fromkeys(languages):
            own = {query: text for (query, text), of in zip(texts.items(), languages, strict=True) if of == language}
            kept, judged, events = judge(own, qrels, set(corpus.pages.ids))
            if not kept:
                raise UserError(f"No query of {folder} ({language}) has a right page, so there is nothing to evaluate.")
            found.append(
                Benchmark(name, kept, corpus.pages, judged, language, headline, counting, events, task, published or {})
            )
    return found


class Corpus:
    """The pages of a corpus table.

    Raises:
        UserError: two pages have one id.
    """

    def __init__(self, table: Table):
        ids = [str(page) for page in table.values(need_column(table, *PAGE_ID))]
        if len(set(ids)) < len(ids):
            twice = next(page for page in ids if ids.count(page) > 1)
            raise UserError(
                f"{table.files[0]} has the page {twice} {ids.count(twice)} times; give each page its own id."
            )
        self.pages = picture_pages(table, PictureColumn(table, need_column(table, "image")), range(len(ids)), ids)


def part_of(tables: Mapping[str, list[Path]], prefix: str, names: tuple[str, ...], folder: Path) -> list[Path]:
    for name in names:
        if prefix + name in tables:
            return tables[prefix + name]
    raise UserError(
        f"{folder} has no configuration {prefix}{names[0]}; it has {', '.join(sorted(tables))}, and the beir layout "
        "needs corpus, queries and qrels."
    )


def read_qrels(table: Table) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    columns = (table.values(need_column(table, *names)) for names in (QUERY_ID, PAGE_ID, ("score",)))
    for query, page, score in zip(*columns, strict=True):
        qrels[str(query)][str(page)] = int(score)
    return qrels


def judge(
    queries: Mapping[str, str], qrels: Mapping[str, Mapping[str, int]], pages: set[str]
) -> tuple[dict[str, str], dict[str, dict[str, int]], tuple[Event, ...]]:
    """The queries with a right page and their judgements; what else there is becomes events.

    A right page that the corpus lacks stays in the judgements (it can never be found), as trec_eval has it.
    """
    right = {query for query in queries if any(score > 0 for score in qrels.get(query, {}).values())}
    judged = {query: dict(qrels[query]) for query in queries if query in right}
    lacking = sum(page not in pages for scores in judged.values() for page, score in scores.items() if score > 0)
    events = (
        *event("queries-without-answer", len(queries) - len(right), "left out, as mteb does: no page answers them"),
        *event("right-pages-missing", lacking, "judgements name a right page that the corpus lacks"),
    )
    return {query: text for query, text in queries.items() if query in right}, judged, events
