"""A second stage: another retriever reranks the first pages.

The pages are encoded when they are first among those of a query, and kept: an index of their own, in the cache, which
grows by what is asked.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from collotype.runtime.errors import UserError
from collotype.runtime.files import cache_folder
from collotype.search import manifest
from collotype.search.image_query import ImageQuery, Query
from collotype.search.index import Index, StoredPage
from collotype.search.ingest.encoding import BATCH
from collotype.search.ingest.limits import PAGE_PX
from collotype.search.library import IndexLibrary, QueryError, encoded_image
from collotype.search.pages import EncodedPage, EncodedQuery, Encoder, FoundBy, Hit, Page, PageKey, no_image

FIRST, MOST = 50, 200
"""Pages of the first stage that are looked at again, and how many may be asked for."""


@dataclass(frozen=True, kw_only=True)
class Reranking:
    """What a second stage did."""

    first: Any
    """How the pages came there."""
    pages: int
    encoded: int
    """Of them, that were not known yet."""
    seconds: float


class SecondStage:
    """
    Args:
        library: whose pages are drawn and read.
        folder: of what is kept.
    """

    def __init__(self, library: IndexLibrary, encoder: Encoder, folder: Path | None = None):
        self.library, self.model = library, encoder
        self.index = opened(folder or kept_in(library, encoder), encoder)

    def hits(self, query: Query, pages: Sequence[PageKey]) -> tuple[dict[PageKey, Hit], int]:
        """These pages with their exact score, and how many of them had to be encoded; not those that it cannot take.

        Raises:
            QueryError: the model can do nothing with the query.
        """
        try:
            encoded = self.encoded_query(query)
        except UserError as error:
            raise QueryError(f"The second stage: {error}") from error
        new = self.encode(pages)
        found = self.index.hits(encoded, pages) if len(encoded.vectors) else {}
        sees = self.index.sees()
        return {page: hit for page, hit in found.items() if sees(page)}, new

    def encoded_query(self, query: Query) -> EncodedQuery:
        return (
            encoded_image(self.model, query) if isinstance(query, ImageQuery) else self.model.encode_queries([query])[0]
        )

    def encode(self, pages: Sequence[PageKey]) -> int:
        stored = [self.library.stored(page) for page in pages]
        new = [page for page in stored if self.index.pages_of(page.document).get(page.number) != page.digest]
        for first in range(0, len(new), BATCH):
            there = [page for one in new[first : first + BATCH] if (page := self.as_page(one))]
            self.index.add([pair for page in there if (pair := self.encoded(page))])
        return len(new)

    def as_page(self, stored: StoredPage) -> Page | None:
        """As an encoder takes it; None where its file is gone or cannot be drawn."""
        facts = {name: getattr(stored, name) for name in Page.__dataclass_fields__ if name != "image"}
        if self.model.looks_at == "words":
            return Page(**facts, image=no_image)
        try:
            image = self.library.image(stored.document, stored.number, PAGE_PX)
        except UserError:
            return None
        return Page(**{**facts, "size": image.size}, image=lambda: image)

    def encoded(self, page: Page) -> tuple[Page, EncodedPage] | None:
        try:
            return page, self.model.encode_pages([page])[0]
        except UserError:
            return None


def kept_in(library: IndexLibrary, encoder: Encoder) -> Path:
    name = hashlib.sha256(f"{library.place} {encoder.identity}".encode()).hexdigest()[:24]
    return cache_folder() / "second-stage" / name


def opened(folder: Path, encoder: Encoder) -> Index:
    if manifest.is_index(folder):
        return Index.open(folder, encoder)
    made_by = {"encoder_name": encoder.name, "identity": encoder.identity}
    return Index.create(folder, **made_by, dim=encoder.dim, interaction=encoder.interaction)


class RerankedLibrary:
    """A library whose first pages a second stage puts in order; all else is the library's.

    Args:
        first: how many pages.
    """

    def __init__(self, library: IndexLibrary, stage: SecondStage, first: int = FIRST):
        if not 1 <= first <= MOST:
            raise UserError(f"--rerank-first {first} is not between 1 and {MOST}.")
        self.library, self.stage, self.first = library, stage, first
        self.encoder = f"{library.encoder}, then {stage.model.name} on the first {first}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.library, name)

    def search(self, query: Query, k: int, documents: Sequence[str] = (), languages: Sequence[str] = ()) -> list[Hit]:
        return self.explained(query, k, documents, languages)[0]

    def explained(
        self, query: Query, k: int, documents: Sequence[str] = (), languages: Sequence[str] = ()
    ) -> tuple[list[Hit], Any]:
        found, how = self.library.explained(query, max(k, self.first), documents, languages)
        if not found:
            return found, how
        started = time.perf_counter()
        head, tail = found[: self.first], found[self.first :]
        scored, encoded = self.stage.hits(query, [(hit.document, hit.page) for hit in head])
        pairs = [(hit, scored.get((hit.document, hit.page))) for hit in head]
        seen = sorted(((hit, again) for hit, again in pairs if again), key=lambda pair: -pair[1].score)
        ranked = [self.judged(hit, again, rank) for rank, (hit, again) in enumerate(seen, start=1)]
        # what it cannot look at comes after what it has looked at, in the order that it had
        rest = [hit for hit, again in pairs if not again]
        seconds = time.perf_counter() - started
        explanation = Reranking(first=how, pages=len(head), encoded=encoded, seconds=seconds)
        return [*ranked, *rest, *tail][:k], explanation

    def judged(self, hit: Hit, again: Hit, rank: int) -> Hit:
        name = self.stage.model.name
        places = tuple(replace(place, by=name) for place in again.places)
        first = tuple(replace(place, by=place.by or self.library.encoder) for place in hit.places)
        finders = (FoundBy(name=name, rank=rank, score=again.score), *hit.found_by)
        return replace(hit, score=again.score, places=(*first, *places), found_by=finders)
