"""What the API's endpoints do."""

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple
from urllib.parse import quote, urlencode

from collotype.runtime.errors import UserError
from collotype.runtime.images import jpeg
from collotype.runtime.texts import nfc
from collotype.search import image_query, pages
from collotype.search.image_query import ImageQuery, Query
from collotype.search.ingest.kinds import readable_endings
from collotype.search.languages import UnknownLanguageError
from collotype.search.library import IndexedDocument, IndexLibrary, QueryError
from collotype.search.pages import Box
from collotype.search.server import schemas
from collotype.search.server.metrics import Metrics
from collotype.search.server.middleware import RefusedError
from collotype.search.server.settings import ServerSettings
from collotype.search.server.uploads import Intake

if TYPE_CHECKING:
    from PIL import Image

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

IMAGES_KEPT = 64
DRAWN_AT_ONCE = 2
"""Pages drawn and made JPEGs of; the drawing itself is one process, in turn."""


class KeptImages:
    """Images that were looked for last, so that a page can be lit where they were found."""

    def __init__(self) -> None:
        self.kept, self.turn = OrderedDict[str, ImageQuery](), threading.Lock()

    def keep(self, make: Callable[[], ImageQuery]) -> ImageQuery:
        """
        Raises:
            QueryError: nothing can be looked for with it.
        """
        try:
            query = make()
        except UserError as error:
            raise QueryError(str(error)) from error
        with self.turn:
            self.kept[query.digest] = query
            self.kept.move_to_end(query.digest)
            while len(self.kept) > IMAGES_KEPT:
                self.kept.popitem(last=False)
        return query

    def get(self, digest: str) -> ImageQuery:
        """
        Raises:
            RefusedError: it was too long ago.
        """
        with self.turn:
            if digest not in self.kept:
                raise missing("This image has expired; search by it again.")
            return self.kept[digest]


class Service:
    """A library with what a server has around it. Everything that computes runs in a few threads of its own."""

    def __init__(self, library: IndexLibrary, folder: Path | None, settings: ServerSettings):
        self.library, self.settings, self.metrics = library, settings, Metrics()
        self.images = KeptImages()
        self.intake = Intake(library, folder, settings.waiting, self.metrics)
        self.answering = ThreadPoolExecutor(settings.at_once, thread_name_prefix="answer")
        # of their own: a search must not wait for the images of the one before
        self.drawing = ThreadPoolExecutor(DRAWN_AT_ONCE, thread_name_prefix="draw")

    async def compute(self, work: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Waits for a thread; a request that is given up meanwhile costs nothing more."""
        return await asyncio.get_running_loop().run_in_executor(self.answering, work, *arguments)

    async def draw(self, work: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """As `compute`, for images."""
        return await asyncio.get_running_loop().run_in_executor(self.drawing, work, *arguments)

    def stop(self) -> None:
        self.intake.stop()
        for pool in (self.answering, self.drawing):
            pool.shutdown(cancel_futures=True)

    def find(self, name: str) -> IndexedDocument:
        """
        Raises:
            RefusedError: the index has no such document.
        """
        if found := self.library.by_name().get(nfc(name)):
            return found
        raise missing("There is no such document in the index; GET /api/documents lists all.")

    def file(self, name: str) -> Path:
        """Where the index says that a document lies; a path is never made from what a client sends.

        Raises:
            RefusedError: the index has no such document, or its file has gone.
        """
        file = self.find(name).file
        if file is None or not file.is_file():
            raise missing("The document's file was moved or deleted after it was indexed; index it again.")
        return file

    def search(
        self, query: Query, k: int, documents: list[str], folder: str, languages: list[str]
    ) -> list[schemas.HitResponse]:
        try:
            hits = self.library.search(query, k, self.named(documents, folder), languages)
        except UnknownLanguageError as error:
            raise missing(str(error)) from error
        versions = {name: self.version(name) for name in {hit.document for hit in hits}}
        return [as_answer(hit, query, versions[hit.document]) for hit in hits]

    def named(self, documents: list[str], folder: str) -> list[str]:
        """The documents that are searched, as the index names them; none for all of them.

        Raises:
            RefusedError: the index has no such document, or none in the folder.
        """
        known = self.library.by_name() if documents or folder else {}
        if unknown := [name for name in documents if nfc(name) not in known]:
            raise missing(f"There is no document {unknown[0][:200]!r} in the index; GET /api/documents lists all.")
        inside = f"{nfc(folder).rstrip('/')}/" if folder else ""
        found = [known[name].name for name in map(nfc, documents or known) if name.startswith(inside)]
        if folder and not found:
            raise missing(f"The folder {folder[:200]!r} has none of the documents; GET /api/documents lists them.")
        return found

    def image_sent(self, content: bytes, crop: Box | None) -> ImageQuery:
        """
        Raises:
            QueryError: it is no image, or nothing can look for it.
        """
        return self.images.keep(lambda: image_query.of_bytes(self.library.draw, content, crop))

    def image_of_page(self, name: str, page: int, crop: Box | None) -> ImageQuery:
        """
        Raises:
            RefusedError: there is no such page.
            QueryError: the part is too small, or nothing can look for it.
        """
        file, known = self.file(name), self.find(name).name
        if page not in self.library.index.pages_of(known):
            raise missing(f"{name} has no page {page} in the index.")
        try:
            return self.images.keep(lambda: image_query.of_page(self.library, known, page, crop))
        except QueryError as error:
            raise QueryError(str(error).replace(str(file), name)) from error

    def version(self, name: str) -> str:
        """Stands in an image's address, so that a browser keeps images and never an outdated one."""
        try:
            state = self.library.file(name).stat()
        except (UserError, OSError):
            return ""
        return hashlib.sha256(f"{state.st_mtime_ns} {state.st_size}".encode()).hexdigest()[:12]

    def documents(self) -> schemas.Documents:
        known, uploads = self.library.by_name(), self.intake.uploads()
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
            images=self.library.takes_images,
            upload_bytes=self.settings.upload_bytes,
            kinds=list(readable_endings()),
            pages=sum(document.pages for document in known.values()),
            languages=self.library.languages(),
            documents=sorted(rows.values(), key=lambda row: row.name.casefold()),
        )

    def image(self, name: str, page: int, longest_px: int) -> bytes:
        return self.drawn(name, lambda known: self.library.image(known, page, longest_px))

    def heatmap(self, name: str, page: int, query: Query, longest_px: int) -> bytes:
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
        known = self.library.by_name().get(nfc(name))
        if not self.intake.forget(nfc(name)) and known is None:
            raise missing("There is no such document; GET /api/documents lists all.")
        if known:
            self.intake.delete(known.name, known.file)


def as_address(query: Query) -> dict[str, str]:
    return {"q": query} if isinstance(query, str) else {"image": query.digest}


def missing(sentence: str) -> RefusedError:
    return RefusedError(404, "missing", sentence)


def as_answer(hit: pages.Hit, query: Query, version: str) -> schemas.HitResponse:
    document = f"/api/documents/{quote(hit.document)}"
    return schemas.HitResponse(
        document=hit.document,
        page=hit.page,
        label=hit.label,
        words_from=hit.words_from,
        score=hit.score,
        places=[schemas.RegionResponse(**vars(place)) for place in hit.places],
        found_by=[schemas.FinderResponse(**vars(one)) for one in hit.found_by],
        text=hit.text,
        link=f"{document}/file#page={hit.page}",
        picture=f"{document}/pages/{hit.page}/picture?{urlencode({'v': version})}",
        heatmap=f"{document}/pages/{hit.page}/heatmap?{urlencode({**as_address(query), 'v': version})}",
    )
