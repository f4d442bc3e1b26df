"""The endpoints of the API; `/api/openapi.json` lists them with their types."""

import mimetypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.convertors import Convertor, register_url_convertor

import collotype
from collotype.runtime.errors import UserError
from collotype.search.image_query import ImageQuery, box_of
from collotype.search.library import QueryError
from collotype.search.pages import Box
from collotype.search.server import schemas
from collotype.search.server.middleware import COOKIE, RefusedError, same, session_token
from collotype.search.server.service import Service
from collotype.search.server.uploads import safe_name


class DocumentName(Convertor[str]):
    """Any text: names may have slashes and line breaks, where a `path` ends."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("document", DocumentName())

Described = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Described:
    return {status: {"model": schemas.Problem, "description": MEANING[status]} for status in statuses}


def content(kind: str) -> Described:
    return {200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}}}}}


MEANING = {
    400: "A name that no file may have",
    401: "No key, or a wrong one",
    403: "Not allowed",
    404: "No such document, page or address",
    409: "The document is in use",
    413: "Too large",
    415: "No PDF or image",
    421: "Sent to another server's name",
    422: "Not what is asked for here",
    429: "Too many requests",
    503: "Busy, or took too long",
}
EVERYWHERE = problems(401, 403, 413, 421, 422, 429, 503)


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def server_of(request: Request) -> Service:
    """`service_of` for routes: what is not async FastAPI runs in a thread."""
    return service_of(request)


Server = Annotated[Service, Depends(server_of)]
Name = Annotated[str, Path(description="The document's name in the index; it may contain slashes.")]
PageNumber = Annotated[int, Path(ge=1, le=1_000_000, description="Counted from 1.")]
Words = Annotated[str, Query(max_length=500, pattern=r"\S", description="What is looked for, in words.")]
Longest = Annotated[int, Query(ge=16, le=2000, description="The longest edge, in pixels.")]
Version = Annotated[str, Query(max_length=64, description="Digest of the file; lets a browser cache the image.")]

Count = Annotated[int, Query(ge=1, le=100, description="How many pages.")]
Only = Annotated[list[str], Query(max_length=100, description="Only in these documents; repeatable.")]
Language = Annotated[
    list[str],
    Query(max_length=100, description="Only pages in these languages, by ISO 639 code, such as de; repeatable."),
]
Folder = Annotated[
    str, Query(max_length=2000, description="Only documents in this folder, as their names have it, or below it.")
]
Crop = Annotated[str, Query(max_length=100, description="Only this region: left,top,right,bottom, each from 0 to 1.")]


@dataclass(frozen=True)
class Filter:
    """Which pages may be found."""

    document: list[str]
    folder: str
    language: list[str]


async def filter_of(document: Only = [], folder: Folder = "", language: Language = []) -> Filter:  # noqa: B006
    """Async as `server_of` is."""
    return Filter(document, folder, language)


Among = Annotated[Filter, Depends(filter_of)]
api = APIRouter(prefix="/api")


def writable(server: Service) -> Service:
    if server.settings.read_only:
        raise RefusedError(
            403, "read-only", "This server is read-only; add documents to its index with `collotype index`."
        )
    return server


@api.get("/search", responses=problems(404))
async def search(server: Server, q: Words, among: Among, k: Count = 12) -> schemas.Answer:
    """The pages that answer a query best, and where on them its words were found."""
    started = time.perf_counter()
    hits = await server.compute(server.search, q.strip(), k, among.document, among.folder, among.language)
    seconds = round(time.perf_counter() - started, 4)
    return schemas.Answer(query=q.strip(), encoder=server.library.encoder, seconds=seconds, hits=hits)


@api.post(
    "/search/image",
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"format": "binary"}}}}
    },
)
async def search_image(
    server: Server,
    request: Request,
    among: Among,
    k: Count = 12,
    crop: Crop = "",
) -> schemas.Answer:
    """The pages that are most like an image, the request's body."""
    content = await request.body()
    part = box(crop)
    return await found_by_image(server, lambda: server.image_sent(content, part), k, among)


@api.get("/search/like", responses=problems(404))
async def search_like(
    server: Server,
    name: Annotated[str, Query(max_length=2000, description="The document of the query page.")],
    page: Annotated[int, Query(ge=1, le=1_000_000, description="Its number.")],
    among: Among,
    k: Count = 12,
    crop: Crop = "",
) -> schemas.Answer:
    """The pages that are most like a page of the index, or a part of it."""
    part = box(crop)
    return await found_by_image(server, lambda: server.image_of_page(name, page, part), k, among)


async def found_by_image(server: Service, make: Callable[[], ImageQuery], k: int, among: Filter) -> schemas.Answer:
    started = time.perf_counter()
    query = await server.draw(make)
    hits = await server.compute(server.search, query, k, among.document, among.folder, among.language)
    seconds = round(time.perf_counter() - started, 4)
    about = {"query": str(query), "image": query.digest, "encoder": server.library.encoder}
    return schemas.Answer(**about, seconds=seconds, hits=hits)


def box(crop: str) -> Box | None:
    """
    Raises:
        QueryError: it is no part of a page.
    """
    try:
        return box_of(crop) if crop else None
    except UserError as error:
        raise QueryError(str(error)) from error


@api.get("/documents")
async def documents(server: Server) -> schemas.Documents:
    """What is indexed, waits to be, or could not be."""
    return await server.compute(server.documents)


@api.put(
    "/documents/{name}",
    status_code=202,
    responses=problems(400, 409, 415),
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"format": "binary"}}}}
    },
)
async def upload(server: Server, name: str, request: Request) -> schemas.DocumentResponse:
    """Takes a PDF or image, the request's body, and indexes it when those before it are done."""
    name = safe_name(name)
    known = (await server.compute(writable(server).library.by_name)).get(name)
    if known and not server.intake.keeps(known.file):
        sentence = f"A document {name} was indexed from another folder; delete it first, or rename this one."
        raise RefusedError(409, "name", sentence)
    taken = await server.intake.receive(name, request.stream())
    return schemas.DocumentResponse(**vars(taken), pages=known.pages if known else 0, uploaded=True)


@api.get("/documents/{name:document}/file", responses=content("application/pdf") | problems(404))
async def file(server: Server, name: Name) -> FileResponse:
    """The document itself. `#page=N` behind the address opens a PDF at that page."""
    path = await server.compute(server.file, name)
    kind = mimetypes.guess_type(path.name)[0] or ""
    if (kind != "application/pdf" and not kind.startswith("image/")) or kind == "image/svg+xml":
        kind = "application/octet-stream"
    return FileResponse(path, media_type=kind, filename=path.name, content_disposition_type="inline")


@api.get("/documents/{name:document}/pages/{page}/picture", responses=content("image/jpeg") | problems(404))
async def image(server: Server, name: Name, page: PageNumber, longest: Longest = 1000, v: Version = "") -> Response:
    """A page as a JPEG."""
    return as_image(await server.draw(server.image, name, page, longest), v)


@api.get("/documents/{name:document}/pages/{page}/heatmap", responses=content("image/jpeg") | problems(404))
async def heatmap(
    server: Server,
    name: Name,
    page: PageNumber,
    q: Annotated[str | None, Query(max_length=500, pattern=r"\S", description="What was looked for, in words…")] = None,
    image: Annotated[str | None, Query(max_length=64, description="…or what stands for an image.")] = None,
    longest: Longest = 1000,
    v: Version = "",
) -> Response:
    """A page as a JPEG, lit where the query was found."""
    if (q is None) == (image is None):
        raise QueryError("Give q or image: the query of this search.")
    query = q.strip() if q is not None else server.images.get(image or "")
    return as_image(await server.draw(server.heatmap, name, page, query, longest), v)


def as_image(jpeg: bytes, version: str) -> Response:
    kept = {"cache-control": "private, max-age=86400"} if version else None
    return Response(jpeg, media_type="image/jpeg", headers=kept)


@api.delete("/documents/{name:document}", status_code=204, responses=problems(404, 409))
async def delete(server: Server, name: Name) -> None:
    """Takes a document out of the index or the queue; only a file that was uploaded is deleted with it."""
    await server.compute(writable(server).delete, name)


@api.get("/health")
async def health(server: Server) -> schemas.Health:
    """Whether it runs; needs no key."""
    return schemas.Health(version=collotype.__version__, key=server.settings.api_key is not None)


@api.get("/metrics", responses=content("text/plain"), response_class=Response)
async def metrics(server: Server) -> Response:
    """For Prometheus."""
    return Response(server.metrics.text(), media_type="text/plain; version=1.0.0")


@api.post("/session", status_code=204)
async def session(server: Server, given: schemas.Key, request: Request, response: Response) -> None:
    """Lets the web page in: a right key is answered with a cookie, which images and links need."""
    key = server.settings.api_key
    if key is None or not same(given.key, key):
        raise RefusedError(401, "key", "This is not the server's key.", {"www-authenticate": "Bearer"})
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, session_token(key), httponly=True, samesite="strict", secure=secure)
