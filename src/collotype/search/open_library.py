"""Opens an index for search: in a folder, a hybrid, or a collection on Qdrant."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from collotype.runtime.errors import UserError
from collotype.search import manifest
from collotype.search.encoders import open_encoder, require_dtype
from collotype.search.hybrid import parts
from collotype.search.hybrid.library import HybridLibrary
from collotype.search.library import EmbeddedLibrary, IndexLibrary, QdrantLibrary, with_dtype
from collotype.search.pages import Draw
from collotype.search.rerank import FIRST, RerankedLibrary, SecondStage
from collotype.search.uri import is_address


def open_library(
    place: str,
    draw: Draw,
    passwords: Sequence[str] = (),
    dtype: str | None = None,
    rerank: str | None = None,
    first: int | None = None,
    queries: str | None = None,
) -> IndexLibrary:
    """An index by its folder, or by its address on Qdrant.

    Args:
        passwords: to be tried on PDFs that are added.
        dtype: of the weights of each model that has a choice; None: as the index was made.
        queries: of an index in a folder: a student of its model, which reads the queries in its place.
        rerank: a model that puts the `first` pages in order.

    Raises:
        UserError: as the libraries' `open`.
    """
    if rerank is None and first is not None:
        raise UserError(f"--rerank-first {first} needs --rerank; name a model with --rerank.")
    if dtype and not is_address(place) and manifest.is_index(Path(place)):
        require_dtype([*parts.models(Path(place)), *([rerank] if rerank else [])])
    library = first_stage(place, draw, passwords, dtype, queries)
    if rerank is None:
        return library
    encoder = open_encoder(**with_dtype({"model": rerank}, dtype))
    # what it has not itself it takes of the library, by __getattr__
    ranked = RerankedLibrary(library, SecondStage(library, encoder), FIRST if first is None else first)
    return cast(IndexLibrary, ranked)


def first_stage(
    place: str, draw: Draw, passwords: Sequence[str], dtype: str | None, queries: str | None
) -> IndexLibrary:
    if queries and (is_address(place) or parts.is_hybrid(Path(place))):
        raise UserError(
            f"--queries {queries} works only with an index of one model in a folder, but {place} is not one; leave it "
            "out."
        )
    if is_address(place):
        return QdrantLibrary.open(place, draw, dtype)
    folder = Path(place)
    if parts.is_hybrid(folder):
        library: EmbeddedLibrary = HybridLibrary.open(folder, draw, dtype)
    else:
        library = EmbeddedLibrary.open(folder, draw, dtype, queries)
    library.passwords = passwords
    return library
