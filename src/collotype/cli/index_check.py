"""`collotype index check`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collotype.cli.options import IndexFolder, Json, Rerank, RerankFirst
from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from collotype.search.check import Checked
    from collotype.search.judgments import JudgedQuery
    from collotype.search.library import IndexLibrary
    from collotype.search.pages import EncodedQuery
    from collotype.search.quality import Judged


QueryFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File of queries, one per line, each optionally followed by tabs and the pages that answer it, e.g. "
        "report.pdf#page=7 [default: generated from the index].",
    ),
]
TopK = Annotated[int, typer.Option("--top-k", min=1, help="The number of top pages that recall is measured on.")]
Count = Annotated[int, typer.Option(min=1, help="How many queries to generate if --queries is not given.")]


def check(
    folder: IndexFolder,
    queries: QueryFile = None,
    rerank: Rerank = None,
    rerank_first: RerankFirst = None,
    top_k: TopK = 10,
    count: Count = 30,
    as_json: Json = False,
) -> None:
    """Measure the recall, CPU time and size of an index.

    Compares each approximation with exact scoring. With judged queries it also reports retrieval quality, and fits
    the weight of each encoder of a hybrid index.
    """
    from rich.console import Console

    from collotype.cli.terminal import index_table, quality_table
    from collotype.search.check import measure
    from collotype.search.index import Index

    answered = None
    if queries:
        found, answered = measured_with(queries, folder, rerank, rerank_first, top_k, count)
    elif rerank:
        raise UserError("--rerank needs judged queries to measure what it gains; give them with --queries.")
    else:
        found = measure(Index.open(folder), k=top_k, count=count)
    if as_json:
        print(json.dumps({**asdict(found), **({"answers": asdict(answered)} if answered else {})}))
        return
    Console().print(index_table(found))
    if answered:
        Console().print(quality_table(answered))
        print(fitted(answered))


def measured_with(
    queries: Path, folder: Path, rerank: str | None, rerank_first: int | None, top_k: int, count: int
) -> "tuple[Checked, Judged | None]":
    """The index measured with the queries of a file; with judged ones also their quality, and its weights fitted.

    Raises:
        UserError: the file cannot be read, or a reranker is given and no query is judged.
    """
    from collotype.search import judgments, quality
    from collotype.search.check import measure
    from collotype.search.hybrid import fusion
    from collotype.search.ingest.rendering import Drawer
    from collotype.search.open_library import open_library

    drawer, answered = Drawer(), None
    library = open_library(str(folder), drawer.draw, rerank=rerank, first=rerank_first)
    given = judgments.read(queries, {one.name: library.index.pages_of(one.name) for one in library.documents()})
    found = measure(library.index, encoded(library, given) or None, top_k, count)
    if any(one.right for one in given):
        answered = quality.measure(library, given)
        if answered.weights:
            fusion.write(folder, answered.weights)
    elif rerank:
        raise UserError(
            f"{queries} has no judged query, so the gain of --rerank cannot be measured; write the pages that answer "
            "a query after it, each after a tab: report.pdf#page=7."
        )
    drawer.close()
    return found, answered


def encoded(library: "IndexLibrary", queries: "Sequence[JudgedQuery]") -> "list[EncodedQuery]":
    """The queries as the index's own encoder has them; of a hybrid without those that only its others can take.

    Raises:
        UserError: it cannot take one, and there are no others.
    """
    from collotype.search.hybrid.parts import is_hybrid

    found = []
    for query in queries:
        try:
            found.append(library.encoded(query.text))
        except UserError:
            if not is_hybrid(library.index.folder):
                raise
    return [query for query in found if len(query.vectors)]


def fitted(answered: "Judged") -> str:
    """What was fitted, and why nothing was."""
    from collotype.search.hybrid.fitting import FEWEST

    if answered.weights is None:
        few = f"; fitting weights needs at least {FEWEST}" if answered.queries < FEWEST else ""
        return f"{answered.queries} judged queries{few}."
    weights = ", ".join(f"{name}: {weight:.2g}" for name, weight in answered.weights.of.items())
    return (
        f"{answered.queries} judged queries: searches use {answered.weights.method} from now on"
        f"{f', weights {weights}' if weights else ''}."
    )
