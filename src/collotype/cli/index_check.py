"""`collotype index check`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collotype.cli.options import Json, Rerank, RerankFirst
from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from collotype.search.judgments import JudgedQuery
    from collotype.search.library import IndexLibrary
    from collotype.search.pages import EncodedQuery
    from collotype.search.quality import Judged


def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The index.")],
    queries: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of queries, one per line, each optionally followed by tabs and the pages that answer it, e.g. "
            "report.pdf#page=7 [default: generated from the index].",
        ),
    ] = None,
    rerank: Rerank = None,
    rerank_first: RerankFirst = None,
    top_k: Annotated[
        int, typer.Option("--top-k", min=1, help="The number of top pages that recall is measured on.")
    ] = 10,
    count: Annotated[int, typer.Option(min=1, help="How many queries to generate if --queries is not given.")] = 30,
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
        from collotype.search import judgments, quality
        from collotype.search.hybrid import fusion
        from collotype.search.ingest.rendering import Drawer
        from collotype.search.open_library import open_library

        drawer = Drawer()
        library = open_library(str(folder), drawer.draw, rerank=rerank, first=rerank_first)
        pages_of = {one.name: library.index.pages_of(one.name) for one in library.documents()}
        given = judgments.read(queries, pages_of)
        found = measure(library.index, encoded(library, given) or None, top_k, count)
        if any(one.right for one in given):
            answered = quality.measure(library, given)
            if answered.weights:
                fusion.write(folder, answered.weights)
        elif rerank:
            raise UserError(
                f"{queries} has no judged query, so what --rerank gains cannot be told; write the pages that answer a "
                "query behind it, each after a tab: report.pdf#page=7."
            )
        drawer.close()
    elif rerank:
        raise UserError("What --rerank gains is told by judged queries; give them with --queries.")
    else:
        found = measure(Index.open(folder), k=top_k, count=count)
    if as_json:
        print(json.dumps({**asdict(found), **({"answers": asdict(answered)} if answered else {})}))
        return
    Console().print(index_table(found))
    if answered:
        Console().print(quality_table(answered))
        print(told(answered))


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


def told(answered: "Judged") -> str:
    """What was fitted, and why nothing was."""
    from collotype.search.hybrid.fitting import FEWEST

    if answered.weights is None:
        few = f"; weights are fitted on {FEWEST} at least" if answered.queries < FEWEST else ""
        return f"{answered.queries} judged queries{few}."
    weights = ", ".join(f"{name}: {weight:.2g}" for name, weight in answered.weights.of.items())
    return (
        f"{answered.queries} judged queries: searches use {answered.weights.method} from now on"
        f"{f', weights {weights}' if weights else ''}."
    )
