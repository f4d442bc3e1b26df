"""What a person searches in: an index, the encoder that made it, and the files its pages come from."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from collotype.runtime.errors import UserError
from collotype.search.pages import EncodedQuery, Encoder, Hit

if TYPE_CHECKING:
    from PIL import Image

    from collotype.search.index import Index

Told = Callable[[int, int], None]
"""Called with how many pages are done, of how many."""
Draw = Callable[[Path, int, int], "Image.Image"]
"""A page of a file, its longest edge so many pixels: `Drawer.draw`."""
QUERIES_KEPT = 256


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """A document of an index."""

    name: str
    pages: int
    file: Path | None
    """Where it was indexed from, if the index says."""


class Library(Protocol):
    """How the server knows an index, wherever it lies."""

    encoder: str
    """What finds the hits, in words."""

    def search(self, query: str, k: int, documents: Sequence[str] = ()) -> list[Hit]:
        """The best k pages, of these documents if any are named."""
        ...

    def documents(self) -> list[Indexed]: ...

    def picture(self, document: str, page: int, longest_px: int) -> "Image.Image":
        """
        Raises:
            UserError: there is no such page, or its file is gone.
        """
        ...

    def heatmap(self, document: str, page: int, query: str, longest_px: int) -> "Image.Image":
        """The page lit where the query was found.

        Raises:
            UserError: as `picture`.
        """
        ...

    def add(self, file: Path, name: str, told: Told) -> int:
        """Indexes a file under this name, in place of what had it; how many pages it has.

        Raises:
            UserError: it cannot be read, or is beyond a limit.
        """
        ...

    def delete(self, document: str) -> None: ...


class EmbeddedLibrary:
    """An index in a folder.

    Args:
        draw: how pages are drawn.
    """

    def __init__(self, index: "Index", encoder: Encoder, draw: Draw):
        from collotype.search.ingest import Ledger

        self.index, self.model, self.draw = index, encoder, draw
        self.encoder = encoder.name
        self.ledger = Ledger(index.folder)
        self.one_at_a_time = threading.Lock()
        self.encoded = lru_cache(QUERIES_KEPT)(self.encode)

    @classmethod
    def open(cls, folder: Path, draw: Draw) -> "EmbeddedLibrary":
        """The index in a folder, with the model it was made by.

        Raises:
            UserError: there is no index, or its model is not there or has changed.
        """
        from collotype.search import about
        from collotype.search.ingest.sources import Ledger

        about.read(folder)
        model = Ledger(folder).model()
        if model is None:
            raise UserError(f"{folder} does not say which model made it; index the documents again into a new folder.")
        # after what can be said without the heavy packages
        from collotype.search.encoders import open_encoder
        from collotype.search.index import Index

        encoder, index = open_encoder(**model), Index.open(folder)
        index.about.belongs_to(encoder, folder)
        return cls(index, encoder, draw)

    def encode(self, query: str) -> EncodedQuery:
        with self.one_at_a_time:
            return self.model.encode_queries([query])[0]

    def search(self, query: str, k: int, documents: Sequence[str] = ()) -> list[Hit]:
        encoded = self.encoded(query)
        # a model may leave nothing of a query, as of one that is punctuation only
        return self.index.search(encoded, k, documents=list(documents) or None) if len(encoded.vectors) else []

    def documents(self) -> list[Indexed]:
        files = {name: Path(entry.file) for name, entry in self.ledger.read().items()}
        return [
            Indexed(name=document.name, pages=document.pages, file=files.get(document.name))
            for document in self.index.documents()
        ]

    def picture(self, document: str, page: int, longest_px: int) -> "Image.Image":
        if page not in self.index.pages_of(document):
            raise UserError(f"{document} has no page {page} in the index.")
        return self.draw(self.ledger.file(document), page, longest_px)

    def heatmap(self, document: str, page: int, query: str, longest_px: int) -> "Image.Image":
        from collotype.search.heatmap import lit

        picture = self.picture(document, page, longest_px)
        return lit(picture, self.encoded(query), self.index.page(document, page).encoded)

    def add(self, file: Path, name: str, told: Told) -> int:
        from collotype.search.ingest import ingest

        report = ingest(
            [file], self.index, self.model, names=[name], prune=False, told=lambda _, done, total: told(done, total)
        )
        if not report.documents:
            raise UserError(f"{name} was not indexed: {report.skipped[0].detail}")
        return report.added

    def delete(self, document: str) -> None:
        self.index.delete(document)
        self.ledger.update({document: None})
