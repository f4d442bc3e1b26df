"""`collotype search`."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from collotype.cli.options import (
    Dtype,
    IndexPlace,
    Json,
    PasswordFile,
    Queries,
    Rerank,
    RerankFirst,
    documents_named,
    read_passwords,
)
from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from collotype.search.image_query import ImageQuery, Query
    from collotype.search.library import IndexLibrary
    from collotype.search.pages import Box, Hit

HEATMAP_PX = 1200


Words = Annotated[str | None, typer.Argument(metavar="QUERY", help="What to look for, in words.")]
Image = Annotated[Path | None, typer.Option("--image", metavar="FILE", help="Search by this image instead of words.")]
Like = Annotated[
    str | None,
    typer.Option("--like", metavar="PAGE", help="Search by this page instead of words, e.g. report.pdf#page=7."),
]
Crop = Annotated[
    str | None,
    typer.Option(
        metavar="L,T,R,B", help="Use only this region of the image or page: left,top,right,bottom, each 0 to 1."
    ),
]
TopK = Annotated[int, typer.Option("--top-k", min=1, help="How many pages to return.")]
Documents = Annotated[
    list[str], typer.Option("--document", metavar="NAME", help="Search only in this document; repeatable.")
]
Languages = Annotated[
    list[str],
    typer.Option("--language", metavar="CODE", help="Search only pages in this language, e.g. de; repeatable."),
]
Heatmap = Annotated[
    Path | None,
    typer.Option("--heatmap", metavar="FILE", help="Write an image of the best page with the matches highlighted."),
]
Explain = Annotated[bool, typer.Option("--explain", help="Explain how the pages were found.")]


def search(
    index: IndexPlace,
    query: Words = None,
    image: Image = None,
    like: Like = None,
    crop: Crop = None,
    top_k: TopK = 5,
    documents: Documents = [],  # noqa: B006 - typer makes a fresh list
    languages: Languages = [],  # noqa: B006
    queries: Queries = None,
    rerank: Rerank = None,
    rerank_first: RerankFirst = None,
    heatmap: Heatmap = None,
    explain: Explain = False,
    password_file: PasswordFile = None,
    dtype: Dtype = None,
    as_json: Json = False,
) -> None:
    """Find the pages that answer a query best.

    Shows where on the page the words of the query were found.
    """
    from collotype.search.image_query import box_of
    from collotype.search.ingest import ReadingSettings
    from collotype.search.ingest.rendering import Drawer
    from collotype.search.open_library import open_library

    require_one_query(query, image, like, crop)
    if heatmap:
        image_format(heatmap)
    drawer = Drawer(ReadingSettings(passwords=read_passwords(password_file)))
    library = open_library(index, drawer.draw, dtype=dtype, rerank=rerank, first=rerank_first, queries=queries)
    asked: Query = query or image_asked(library, image, like, box_of(crop) if crop else None)
    documents = documents_named(index, documents, [document.name for document in library.documents()])
    hits, how = library.explained(asked, top_k, documents, languages)
    if heatmap and hits:
        draw(library, hits[0], asked, heatmap)
    drawer.close()
    if as_json:
        found = {"query": str(asked), "found_by": library.encoder, "hits": [as_dict(library, hit) for hit in hits]}
        print(json.dumps({**found, "explanation": asdict(how)} if explain else found, ensure_ascii=False))
        return
    show(library, hits, asked)
    if heatmap and hits:
        print(f"heatmap of the first: {heatmap}")
    if explain:
        print("\n".join(f"{name}: {value}" for name, value in asdict(how).items() if value is not None))


def require_one_query(query: str | None, image: Path | None, like: str | None, crop: str | None) -> None:
    """
    Raises:
        UserError: nothing or more than one thing to look for, an empty query, or a crop of words.
    """
    if (query is not None) + (image is not None) + (like is not None) != 1:
        raise UserError("Give exactly one of: a query in words, --image FILE, or --like PAGE.")
    if query is not None and not query.strip():
        raise UserError("The query is empty; give it at least one word.")
    if crop and query is not None:
        raise UserError(f"--crop {crop} needs an image or page; give one with --image or --like.")


def image_asked(library: "IndexLibrary", image: Path | None, like: str | None, crop: "Box | None") -> "ImageQuery":
    """
    Raises:
        UserError: there is no such file or page, or it cannot be drawn.
    """
    from collotype.runtime.texts import nfc
    from collotype.search import image_query, judgments

    if image:
        return image_query.of_file(library.draw, image, crop)
    documents = {document.name: library.index.pages_of(document.name) for document in library.documents()}
    name, number = judgments.page(like or "", documents, {nfc(name): name for name in documents}, "--like")
    return image_query.of_page(library, name, number or 1, crop)


def image_format(file: Path) -> str:
    """What Pillow calls the format that a file's ending means.

    Raises:
        UserError: it can write none of that ending.
    """
    from PIL import Image

    Image.init()
    kind = Image.EXTENSION.get(file.suffix.lower(), "")
    if kind not in Image.SAVE:
        ending = f"the ending {file.suffix}" if file.suffix else "no ending"
        raise UserError(f"--heatmap {file} has {ending}, which is not an image format; use .png or .jpg.")
    return kind


def draw(library: "IndexLibrary", hit: "Hit", query: "Query", file: Path) -> None:
    """
    Raises:
        UserError: the page's own file is gone.
    """
    from collotype.runtime.files import atomic_file

    image = library.heatmap(hit.document, hit.page, query, HEATMAP_PX)
    with atomic_file(file) as scratch:
        image.save(scratch, image_format(file))


def link(library: "IndexLibrary", hit: "Hit") -> str:
    """The page in its file, as browsers and PDF viewers open it; by its document's name where the file is gone."""
    try:
        return f"{quote(os.fsencode(library.file(hit.document)))}#page={hit.page}"
    except UserError:
        return hit.link


def as_dict(library: "IndexLibrary", hit: "Hit") -> dict[str, object]:
    known = {"label": hit.label or None, "words_from": hit.words_from or None}
    return {**asdict(hit), **known, "link": link(library, hit)}


def show(library: "IndexLibrary", hits: "list[Hit]", query: "Query") -> None:
    print(f"“{query}” by {library.encoder}")
    if not hits:
        print("no page was found")
    for place, hit in enumerate(hits, start=1):
        print(f"{place}. {hit.document}, page {hit.page_named} · {hit.score:z.2f}{ranks_in_words(hit)}")
        if hit.text:
            print(f"   {hit.text}")
        print(f"   {link(library, hit)}")


def ranks_in_words(hit: "Hit") -> str:
    """What found it, where several search together."""
    if not hit.found_by or (len(hit.found_by) == 1 and hit.found_by[0].score == hit.score):
        return ""
    return " · " + ", ".join(f"{one.name.partition(':')[0]} at {one.rank}" for one in hit.found_by)
