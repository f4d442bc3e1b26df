"""`collotype index check`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from collotype.cli.options import Json


def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The index.")],
    queries: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Queries as they are asked, one a line [default: made of its own pages]."),
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Of how many pages the recall is.")] = 10,
    count: Annotated[int, typer.Option(min=1, help="How many queries are made where none are given.")] = 30,
    as_json: Json = False,
) -> None:
    """Measure what an index's shortcuts cost: recall beside exact scoring, CPU time and bytes of each."""
    from rich.console import Console

    from collotype.cli.terminal import index_table
    from collotype.search.check import measure
    from collotype.search.index import Index

    if queries:
        from collotype.search.ingest.drawing import Drawer
        from collotype.search.library import EmbeddedLibrary

        drawer = Drawer()
        library = EmbeddedLibrary.open(folder, drawer.draw)
        asked = [query for line in lines(queries) if len((query := library.encode(line)).vectors)]
        drawer.close()
        found = measure(library.index, asked, top_k)
    else:
        found = measure(Index.open(folder), k=top_k, count=count)
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        Console().print(index_table(found))


def lines(file: Path) -> list[str]:
    """The queries of a file.

    Raises:
        UserError: it cannot be read, or has none.
    """
    from collotype.runtime.errors import UserError

    try:
        found = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The queries {file} cannot be read ({error}); give a text file with one query a line."
        ) from error
    if not found:
        raise UserError(f"{file} has no query; write one a line, or leave --queries out.")
    return found
