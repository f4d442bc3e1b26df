"""A library: an index with its encoder and the files of its pages."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collotype.runtime.errors import UserError
from collotype.runtime.texts import nfc
from collotype.runtime.threads import Together
from collotype.search.image_query import ImageQuery, Query
from collotype.search.pages import Draw, EncodedQuery, Encoder, FoundBy, Hit, PageKey

if TYPE_CHECKING:
    from PIL import Image

    from collotype.search.heatmap import View
    from collotype.search.index import Index, StoredPage
    from collotype.search.qdrant import QdrantIndex

Progress = Callable[[int, int], None]
"""Called with how many pages are done, of how many."""
QUERIES_KEPT = 256
LISTED_EVERY_S = 5.0
"""How old a listing of a collection's documents may be."""


class QueryError(UserError):
    """Nothing can be looked for with this query."""


@dataclass(frozen=True, kw_only=True)
class IndexedDocument:
    """A document of an index."""

    name: str
    pages: int
    file: Path | None
    """Where it was indexed from, if the index says."""


class IndexLibrary(ABC):
    """An index, wherever it lies, and its encoder: what commands and the server search.

    Args:
        draw: how pages are drawn.
    """

    def __init__(self, index: Any, encoder: Encoder, draw: Draw):
        self.index, self.model, self.draw = index, encoder, draw
        self.encoder = encoder.name
        """What finds the hits, in words."""
        self.place = str(getattr(index, "place", "") or index.folder.absolute())
        self.together = Together(encoder.encode_queries)
        self.encoded = lru_cache(QUERIES_KEPT)(self.encode)
        self._named: tuple[list[IndexedDocument], dict[str, IndexedDocument]] = [], {}

    def encode(self, query: Query) -> EncodedQuery:
        """
        Raises:
            QueryError: the model can do nothing with it.
        """
        try:
            return self.together(query) if isinstance(query, str) else encoded_image(self.model, query)
        except UserError as error:
            raise QueryError(str(error)) from error

    @property
    def takes_images(self) -> bool:
        """Can images be looked for?"""
        return hasattr(self.model, "encode_images")

    def search(self, query: Query, k: int, documents: Sequence[str] = (), languages: Sequence[str] = ()) -> list[Hit]:
        """The best k pages, of these documents and in these languages if any are named.

        Raises:
            QueryError: it has nothing to look for.
            UnknownLanguageError: no page is in one of the languages.
        """
        return self.explained(query, k, documents, languages)[0]

    def explained(
        self, query: Query, k: int, documents: Sequence[str] = (), languages: Sequence[str] = ()
    ) -> tuple[list[Hit], Any]:
        """As `search`, and how they were found, a dataclass; None where there was nothing to look for."""
        encoded = self.encoded(query)
        # a model may leave nothing of a query, as of one that is punctuation only
        if not len(encoded.vectors):
            return [], None
        hits, how = self.index.explained(encoded, k, documents=list(documents) or None, languages=languages)
        return [
            replace(hit, found_by=(FoundBy(name=self.encoder, rank=rank, score=hit.score),))
            for rank, hit in enumerate(hits, start=1)
        ], how

    def languages(self) -> dict[str, int]:
        """How many pages are in which language, as `Index.languages`."""
        pages: dict[str, int] = self.index.languages()
        return pages

    def stored(self, page: PageKey) -> "StoredPage":
        """What the index has of a page; its words, if anything has them.

        Raises:
            UserError: it is not in the index.
        """
        stored: StoredPage = self.index.page(*page)
        return stored

    @abstractmethod
    def documents(self) -> list[IndexedDocument]:
        """The same list for as long as nothing has changed; it is not to be changed."""

    def by_name(self) -> Mapping[str, IndexedDocument]:
        """The documents by their names in NFC."""
        listed, found = self._named
        if (now := self.documents()) is not listed:
            found = {nfc(document.name): document for document in now}
            self._named = now, found
        return found

    @abstractmethod
    def file(self, document: str) -> Path:
        """
        Raises:
            UserError: the index does not know it, or it is gone.
        """

    @abstractmethod
    def add(self, file: Path, name: str, progress: Progress) -> int:
        """Indexes a file under this name, in place of what had it; how many pages it has.

        Raises:
            UserError: it cannot be read, or is beyond a limit.
        """

    @abstractmethod
    def delete(self, document: str) -> None: ...

    def image(self, document: str, page: int, longest_px: int) -> "Image.Image":
        """
        Raises:
            UserError: there is no such page, or its file is gone.
        """
        return self.draw(self.file(document), page, longest_px)

    def heatmap(self, document: str, page: int, query: Query, longest_px: int) -> "Image.Image":
        """The page lit where the query was found.

        Raises:
            UserError: as `image`.
        """
        from collotype.search.heatmap import lit

        return lit(self.image(document, page, longest_px), [self.view_of(document, page, query)])

    def view_of(self, document: str, page: int, query: Query) -> "View":
        """A query and a page as the encoder sees them.

        Raises:
            UserError: the index has no such page.
        """
        from collotype.search.heatmap import View

        encoded = self.index.page(document, page).encoded
        return View(self.encoded(query), encoded, patches=self.model.looks_at == "picture")


def encoded_image(encoder: Encoder, query: ImageQuery) -> EncodedQuery:
    """
    Raises:
        UserError: the encoder knows words only.
    """
    if (encode_images := getattr(encoder, "encode_images", None)) is None:
        raise UserError(
            f"{encoder.name} cannot search by an image; index the documents with a retriever of page images (collotype "
            "index --model MODEL), or search in words."
        )
    encoded: list[EncodedQuery] = encode_images([query.image])
    return encoded[0]


class EmbeddedLibrary(IndexLibrary):
    """An index in a folder."""

    def __init__(self, index: "Index", encoder: Encoder, draw: Draw):
        from collotype.search.ingest.sources import SourceLedger

        super().__init__(index, encoder, draw)
        self.ledger = SourceLedger(index.folder)
        self._listed: tuple[tuple[Any, Any], list[IndexedDocument]] | None = None
        self.passwords: Sequence[str] = ()

    @classmethod
    def open(cls, folder: Path, draw: Draw, dtype: str | None = None, queries: str | None = None) -> "EmbeddedLibrary":
        """The index in a folder, with the model it was made by.

        Args:
            dtype: of the model's weights; None: as the index was made.
            queries: a student of that model, which reads the queries in its place.

        Raises:
            UserError: there is no index, or its model is not there or has changed (of sparse pages: as soon as it is
                needed, which is not for a query).
        """
        from collotype.search import manifest
        from collotype.search.ingest.sources import SourceLedger

        about = manifest.read(folder)
        model = SourceLedger(folder).model()
        if model is None:
            raise UserError(f"{folder} does not say which model made it; index the documents again into a new folder.")
        # after what can be said without the heavy packages
        from collotype.search.encoders import open_encoder
        from collotype.search.encoders.sparse import SparseEncoder
        from collotype.search.index import Index

        if about.is_sparse:
            if queries:
                raise UserError(
                    f"The pages in {folder} are sparse, so no student can encode the queries; leave --queries out."
                )
            load = partial(open_encoder, **with_dtype(model, dtype))
            return cls(Index.open(folder), SparseEncoder.of_index(folder, about, load), draw)
        student = {"model": queries, "preset": None, "base": None} if queries else {}
        encoder = open_encoder(**{**with_dtype(model, dtype), **student})
        return cls(Index.open(folder, encoder), encoder, draw)

    def documents(self) -> list[IndexedDocument]:
        # both are replaced where something has changed
        now = self.index.view(), self.ledger.entries()
        if self._listed is None or any(one is not other for one, other in zip(now, self._listed[0], strict=True)):
            files = {name: Path(entry.file) for name, entry in now[1].items()}
            self._listed = (
                now,
                [
                    IndexedDocument(name=document.name, pages=document.pages, file=files.get(document.name))
                    for document in self.index.documents()
                ],
            )
        return self._listed[1]

    def file(self, document: str) -> Path:
        return self.ledger.file(document)

    def add(self, file: Path, name: str, progress: Progress) -> int:
        from collotype.search.ingest import ingest

        report = ingest(
            [file],
            self.index,
            self.model,
            names=[name],
            prune=False,
            progress=lambda _, done, total: progress(done, total),
            passwords=self.passwords,
        )
        if not report.documents:
            raise UserError(f"{name} was not indexed: {report.skipped[0].detail}")
        self.index.find_languages()
        return report.added

    def delete(self, document: str) -> None:
        from collotype.search.ingest.attachments import with_attached

        documents = with_attached([document], self.ledger.read())
        for one in documents:
            self.index.delete(one)
        self.ledger.update(dict.fromkeys(documents))


class QdrantLibrary(IndexLibrary):
    """An index that was pushed to Qdrant; it is changed by pushing it again. Pages are drawn where their files can be
    read under the path they were indexed from."""

    def __init__(self, index: "QdrantIndex", encoder: Encoder, draw: Draw):
        super().__init__(index, encoder, draw)
        self.listed_at, self.listing = float("-inf"), list[IndexedDocument]()

    @classmethod
    def open(cls, place: str, draw: Draw, dtype: str | None = None) -> "QdrantLibrary":
        """The collection at `qdrant://host:port/collection`, with the model its pages were made by.

        Raises:
            UserError: it is not there, was not made by Collotype, or its model is not there or has changed.
        """
        from collotype.search.encoders import open_encoder
        from collotype.search.qdrant import QdrantIndex

        index = QdrantIndex(place)
        if index.model is None:
            raise UserError(f"{place} does not say which model made it; index the documents again and push them.")
        encoder = open_encoder(**with_dtype(index.model, dtype))
        index.manifest.belongs_to(encoder, place)
        return cls(index, encoder, draw)

    def documents(self) -> list[IndexedDocument]:
        if time.monotonic() - self.listed_at > LISTED_EVERY_S:
            self.listing = [
                IndexedDocument(name=name, pages=pages, file=Path(file) if file else None)
                for name, (pages, file) in self.index.listing().items()
            ]
            self.listed_at = time.monotonic()
        return self.listing

    def file(self, document: str) -> Path:
        found = next((one.file for one in self.documents() if one.name == document), None)
        if found is None or not found.is_file():
            raise UserError(
                f"The file of {document!r} was not found on this machine; restore it to the path where it was indexed."
            )
        return found

    def add(self, file: Path, name: str, progress: Progress) -> int:
        raise UserError(f"{self.index.place} is read-only; add {name} to the index it was pushed from.")

    def delete(self, document: str) -> None:
        raise UserError(f"{self.index.place} is read-only; delete {document} from the index it was pushed from.")


def with_dtype(model: Mapping[str, Any], dtype: str | None) -> dict[str, Any]:
    """What `open_encoder` is to be called with, in this type if it is named and the model has one."""
    from collotype.search.encoders import has_dtype

    return {**model, **({"dtype": dtype} if dtype and has_dtype(model["model"]) else {})}
