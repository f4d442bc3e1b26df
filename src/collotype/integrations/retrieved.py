"""What LangChain and LlamaIndex share: an index opened once, and hits as texts with metadata."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from collotype.runtime.errors import UserError
from collotype.search.library import IndexLibrary
from collotype.search.open_library import open_library
from collotype.search.pages import Hit


def opened(index: str, **options: Any) -> IndexLibrary:
    """
    Args:
        options: as of `open_library`: passwords, rerank, first.
    """
    from collotype.search.ingest.rendering import Drawer

    return open_library(index, Drawer().draw, **options)


def hits(library: IndexLibrary, query: str, k: int, documents: Sequence[str] = ()) -> list[Hit]:
    """
    Raises:
        UserError: the query is empty, or the model can do nothing with it.
    """
    if not query.strip():
        raise UserError("The query is empty; give it at least one word.")
    return library.search(query, k, documents)


def text(library: IndexLibrary, hit: Hit) -> str:
    """All words of the page, in reading order; none of one that has none."""
    return " ".join(word.text for word in library.stored((hit.document, hit.page)).words)


def facts(library: IndexLibrary, hit: Hit) -> dict[str, Any]:
    """Where the page is, what found it and where on it."""
    try:
        link = f"{library.file(hit.document).as_uri()}#page={hit.page}"
    except (UserError, ValueError):
        link = hit.link
    known = {name: getattr(hit, name) for name in ("document", "page", "label", "score", "words_from")}
    found = {name: [asdict(one) for one in getattr(hit, name)] for name in ("places", "found_by")}
    return {**hit.metadata, **known, **found, "link": link}
