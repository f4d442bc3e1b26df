"""What the API's answers are made of."""

import asyncio
import hashlib
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from urllib.parse import quote, urlencode

from collotype.runtime.errors import UserError
from collotype.runtime.texts import nfc
from collotype.search import pages
from collotype.search.ingest.kinds import readable_endings
from collotype.search.library import IndexedDocument, Library, QueryError
from collotype.search.server import schemas
from collotype.search.server.metrics import Metrics
from collotype.search.server.middleware import RefusedError
from collotype.search.server.settings import ServerSettings
from collotype.search.server.uploads import Intake

if TYPE_CHECKING:
    from PIL import Image

P = ParamSpec("P")
T = TypeVar("T")

JPEG_QUALITY = 88
DRAWN_AT_ONCE = 2
"""Pages drawn and made JPEGs of; the drawing itself is one process, in turn."""


class Service:
    """A library with what a server has around it. Everything that computes runs in a few threads of its own."""

    def __init__(self, library: Library, folder: Path | None, settings: ServerSettings):
        self.library, self.settings, self.metrics = library, settings, Metrics()
        self.intake = Intake(library, folder, settings.waiting, self.metrics)
        self.answering = ThreadPoolExecutor(settings.at_once, thread_name_prefix="answer")
        # of their own: a search must not wait for the images of the one before
        self.drawing = ThreadPoolExecutor(DRAWN_AT_ONCE, thread_name_prefix="draw")

    async def compute(self, work: Callable[P, T], *arguments: P.args) -> T:
        """Waits for a thread; a request that is given up meanwhile costs nothing more."""
        return await asyncio.get_running_loop().run_in_executor(self.answering, work, *arguments)

    async def draw(self, work: Callable[P, T], *arguments: P.args) -> T:
        """As `compute`, for images."""
        return await asyncio.get_running_loop().run_in_executor(self.drawing, work, *arguments)

    def stop(self) -> None:
        self.intake.stop()
        for pool in (self.answering, self.drawing):
            pool.shutdown(cancel_futures=True)

    def indexed(self) -> dict[str, IndexedDocument]:
        """By name in NFC."""
        return {nfc(document.name): document for document in self.library.documents()}

    def find(self, name: str) -> IndexedDocument:
        """
        Raises:
            RefusedError: the index has no such document.
        """
        if found := self.indexed().get(nfc(name)):
            return found
        raise missing("The index has no such document; GET /api/documents lists them.")

    def file(self, name: str) -> Path:
        """Where the index says that a document lies; a path is never made from what a client sends.

        Raises:
            RefusedError: the index has no such document, or its file has gone.
        """
        file = self.find(name).file
        if file is None or not file.is_file():
            raise missing("The document's file is no longer where it was indexed from; index it again.")
        return file

    def search(self, query: str, k: int, documents: list[str]) -> list[schemas.HitResponse]:
        known = self.indexed() if documents else {}
        if unknown := [name for name in documents if nfc(name) not in known]:
            raise missing(f"The index has no document {unknown[0][:200]!r}; GET /api/documents lists them.")
        hits = self.library.search(query, k, [known[nfc(name)].name for name in documents])
        versions = {name: self.version(name) for name in {hit.document for hit in hits}}
        return [as_answer(hit, query, versions[hit.document]) for hit in hits]

    def version(self, name: str) -> str:
        """Stands in an image's address, so that a browser keeps images and never an outdated one."""
        try:
            state = self.library.file(name).stat()
        except (UserError, OSError):
            return ""
        return hashlib.sha256(f"{state.st_mtime_ns} {state.st_size}".encode()).hexdigest()[:12]

    def documents(self) -> schemas.Documents:
        known, uploads = self.indexed(), self.intake.uploads()
        rows = {
            name: schemas.DocumentResponse(
                name=name, state="indexed", pages=document.pages, uploaded=self.intake.keeps(document.file)
            )
            for name, document in known.items()
        }
        for name, upload in uploads.items():
            pages_now = known[name].pages if name in known else 0
            rows[name] = schemas.DocumentResponse(**vars(upload), pages=pages_now, uploaded=True)
        return schemas.Documents(
            encoder=self.library.encoder,
            read_only=self.settings.read_only,
            upload_bytes=self.settings.upload_bytes,
            kinds=list(readable_endings()),
            pages=sum(document.pages for document in known.values()),
            documents=sorted(rows.values(), key=lambda row: row.name.casefold()),
        )

    def image(self, name: str, page: int, longest_px: int) -> bytes:
        return self.drawn(name, lambda known: self.library.image(known, page, longest_px))

    def heatmap(self, name: str, page: int, query: str, longest_px: int) -> bytes:
        return self.drawn(name, lambda known: self.library.heatmap(known, page, query, longest_px))

    def drawn(self, name: str, draw: Callable[[str], "Image.Image"]) -> bytes:
        file = self.file(name)
        try:
            return jpeg(draw(self.find(name).name))
        except QueryError:
            raise
        except UserError as error:
            # where files lie is nothing to tell clients
            raise missing(str(error).replace(str(file), name)) from error

    def delete(self, name: str) -> None:
        known = self.indexed().get(nfc(name))
        if not self.intake.forget(nfc(name)) and known is None:
            raise missing("There is no such document; GET /api/documents lists them.")
        if known:
            self.intake.delete(known.name, known.file)


def missing(sentence: str) -> RefusedError:
    return RefusedError(404, "missing", sentence)


def as_answer(hit: pages.Hit, query: str, version: str) -> schemas.HitResponse:
    document = f"/api/documents/{quote(hit.document)}"
    return schemas.HitResponse(
        document=hit.document,
        page=hit.page,
        label=hit.label,
        words_from=hit.words_from,
        score=hit.score,
        places=[schemas.RegionResponse(word=place.word, box=place.box, score=place.score) for place in hit.places],
        text=hit.text,
        link=f"{document}/file#page={hit.page}",
        picture=f"{document}/pages/{hit.page}/picture?{urlencode({'v': version})}",
        heatmap=f"{document}/pages/{hit.page}/heatmap?{urlencode({'q': query, 'v': version})}",
    )


def jpeg(image: "Image.Image") -> bytes:
    content = io.BytesIO()
    image.convert("RGB").save(content, "JPEG", quality=JPEG_QUALITY)
    return content.getvalue()
