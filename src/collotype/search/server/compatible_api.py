"""Endpoints of other tools' APIs: OpenAI's `/v1/embeddings`, vLLM's `/pooling`, `/rerank` and `/score`, TEI's
`/rerank`.

They compute with the encoder that made the index, and answer mistakes in OpenAI's form, as vLLM does.
"""

import base64
import binascii
import struct
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, model_validator
from starlette.exceptions import HTTPException
from starlette.responses import Response

from collotype.runtime.errors import UserError
from collotype.search import image_query
from collotype.search.image_query import ImageQuery
from collotype.search.pages import EncodedPage, EncodedQuery, Encoder, Page, Word, no_image
from collotype.search.server.api import Server
from collotype.search.server.middleware import RefusedError
from collotype.search.server.service import Service

TEXTS, CHARACTERS = 256, 100_000
"""Of one request."""
Text = Annotated[str, Field(max_length=CHARACTERS)]
EVEN = (0.0, 0.0, 1.0, 1.0)


class ImageUrl(BaseModel):
    url: str = Field(description="data:image/…;base64,…; nothing is fetched.")


class Part(BaseModel):
    type: Literal["text", "image_url"]
    text: Text | None = None
    image_url: ImageUrl | None = None


class Content(BaseModel):
    content: list[Part] = Field(min_length=1, max_length=1)


class TextOf(BaseModel):
    text: Text


Given = Text | TextOf | Content
Several = Annotated[list[Given], Field(min_length=1, max_length=TEXTS)]


class EmbeddingsRequest(BaseModel):
    model: str | None = None
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=TEXTS)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)


class PoolingRequest(BaseModel):
    model: str | None = None
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=TEXTS)]
    task: Literal["token_embed", "embed"] | None = None


class RerankRequest(BaseModel):
    """vLLM's (Jina's) with `documents`, TEI's with `texts`."""

    model: str | None = None
    query: Given
    documents: Several | None = None
    texts: Annotated[list[Text], Field(min_length=1, max_length=TEXTS)] | None = None
    top_n: int | None = Field(None, ge=1)
    return_documents: bool = True
    return_text: bool = False
    raw_scores: bool = False

    @model_validator(mode="after")
    def one_of_them(self) -> "RerankRequest":
        if (self.documents is None) == (self.texts is None):
            raise ValueError("give either documents or texts")
        return self


class ScoreRequest(BaseModel):
    model: str | None = None
    text_1: Given | Several
    text_2: Given | Several


class DoorRoute(APIRoute):
    """Answers mistakes as OpenAI does: {"error": {"message", "type", "param", "code"}}."""

    def get_route_handler(self) -> Any:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            from fastapi.exceptions import RequestValidationError

            try:
                return await handle(request)
            except RequestValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"][1:])
                return problem(400, f"{where}: {first['msg']}", where or None)
            except UserError as error:
                return problem(400, str(error))
            except RefusedError as error:
                return problem(error.status, error.sentence)
            except HTTPException as error:
                return problem(error.status_code, str(error.detail))

        return handled


class ErrorOf(BaseModel):
    message: str
    type: str
    param: str | None
    code: int


class DoorProblem(BaseModel):
    error: ErrorOf


WRONG = {400: "The request is invalid, or the model does not support it", 404: "No such model"}
router = APIRouter(
    route_class=DoorRoute,
    responses={status: {"model": DoorProblem, "description": description} for status, description in WRONG.items()},
)


def problem(status: int, sentence: str, param: str | None = None) -> JSONResponse:
    kind = "NotFoundError" if status == 404 else "invalid_request_error"
    return JSONResponse({"error": {"message": sentence, "type": kind, "param": param, "code": status}}, status)


class Models:
    """The index's encoder, as these doors have it."""

    def __init__(self, service: Service):
        self.service = service
        self.encoder: Encoder = service.library.model

    def named(self, model: str | None) -> None:
        """
        Raises:
            RefusedError: another model is asked for.
        """
        if model not in (None, "", self.encoder.name):
            raise RefusedError(
                404, "model", f"There is no model {model[:200]!r}; this server's model is {self.encoder.name!r}."
            )

    def queries(self, given: Sequence[Any]) -> list[EncodedQuery]:
        return [self.service.library.encode(self.read(one)) for one in given]

    def pages(self, given: Sequence[Any]) -> list[EncodedPage]:
        """Documents, as the encoder has pages: their words, or their images."""
        return self.encoder.encode_pages([self.page(self.read(one)) for one in given])

    def page(self, given: str | ImageQuery) -> Page:
        facts: dict[str, Any] = {"document": "sent", "number": 1, "digest": ""}
        if isinstance(given, ImageQuery):
            if self.encoder.looks_at == "words":
                raise UserError(f"{self.encoder.name} encodes text; send documents as text.")
            return Page(**facts, size=given.image.size, image=lambda: given.image)
        if self.encoder.looks_at == "picture":
            raise UserError(
                f"{self.encoder.name} encodes images of pages; send documents as "
                '{"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}]}.'
            )
        return Page(**facts, size=(1, 1), image=no_image, words=[Word(word, EVEN) for word in given.split()])

    def read(self, given: Any) -> str | ImageQuery:
        """A text, or an image that came with the request."""
        if isinstance(given, str):
            return given
        if isinstance(given, TextOf):
            return given.text
        part = given.content[0]
        if part.text is not None:
            return str(part.text)
        url = part.image_url.url if part.image_url else ""
        kind, comma, content = url.partition(";base64,")
        if not comma or not kind.startswith("data:"):
            raise UserError(
                f"{url[:60]!r} is not a data:…;base64, URL; send the image itself, since the server downloads none."
            )
        try:
            return image_query.of_bytes(self.service.library.draw, base64.b64decode(content, validate=True))
        except binascii.Error as error:
            raise UserError(f"The image is not valid base64 ({error}).") from error

    def scores(self, query: Any, documents: Sequence[Any]) -> list[float]:
        """MaxSim; of a document without a word 0."""
        [asked] = self.queries([query])
        pages = self.pages(documents)
        if not len(asked.vectors):
            return [0.0] * len(pages)
        return [asked.score(page) for page in pages]

    def usage(self, tokens: int) -> dict[str, int]:
        return {"prompt_tokens": tokens, "total_tokens": tokens}


@router.get("/v1/models")
async def models(server: Server) -> Any:
    """The encoder that made the index."""
    return {"object": "list", "data": [{"id": server.library.model.name, "object": "model", "owned_by": "collotype"}]}


@router.post("/v1/embeddings")
async def embeddings(server: Server, asked: EmbeddingsRequest) -> Any:
    """A vector for each text, as a query; for encoders that have a single one."""
    found = Models(server)
    found.named(asked.model)
    require_vectors(found.encoder)
    if found.encoder.interaction != "single":
        raise UserError(
            f"{found.encoder.name} returns a vector per token, but this endpoint returns one per text; use POST "
            "/pooling."
        )
    if asked.dimensions not in (None, found.encoder.dim):
        raise UserError(f"The vectors have {found.encoder.dim} dimensions and cannot be cut; leave `dimensions` out.")
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    encoded = await server.compute(found.queries, texts)
    as_sent = in_base64 if asked.encoding_format == "base64" else lambda vector: vector.tolist()
    data = [
        {"object": "embedding", "index": place, "embedding": as_sent(one.vectors[0])}
        for place, one in enumerate(encoded)
    ]
    return {"object": "list", "data": data, "model": found.encoder.name, "usage": found.usage(count(texts))}


def require_vectors(encoder: Encoder) -> None:
    """
    Raises:
        UserError: it makes sparse ones, which these doors have no form for.
    """
    if encoder.interaction == "sparse":
        raise UserError(
            f"{encoder.name} returns sparse token weights, but this endpoint returns vectors; use POST /rerank for "
            "scores."
        )


def in_base64(vector: np.ndarray) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector.tolist())).decode()


@router.post("/pooling")
async def pooling(server: Server, asked: PoolingRequest) -> Any:
    """All vectors of each text, as a query."""
    found = Models(server)
    found.named(asked.model)
    require_vectors(found.encoder)
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    encoded = await server.compute(found.queries, texts)
    data = [{"object": "pooling", "index": place, "data": one.vectors.tolist()} for place, one in enumerate(encoded)]
    about = {"id": f"pool-{uuid.uuid4().hex}", "object": "list", "model": found.encoder.name}
    return {**about, "data": data, "usage": found.usage(count(texts))}


@router.post("/rerank")
@router.post("/v1/rerank")
@router.post("/v2/rerank")
async def rerank(server: Server, asked: RerankRequest) -> Any:
    """Documents by how well they answer a query, the best first."""
    found = Models(server)
    found.named(asked.model)
    given: Sequence[Any] = asked.documents if asked.documents is not None else asked.texts or []
    scores = await server.compute(found.scores, asked.query, given)
    order = sorted(range(len(scores)), key=lambda place: (-scores[place], place))[: asked.top_n]
    if asked.texts is not None:
        return [
            {"index": place, "score": scores[place], **({"text": given[place]} if asked.return_text else {})}
            for place in order
        ]
    results = [
        {
            "index": place,
            **({"document": shown(given[place])} if asked.return_documents else {}),
            "relevance_score": scores[place],
        }
        for place in order
    ]
    about = {"id": f"rerank-{uuid.uuid4().hex}", "model": found.encoder.name}
    return {**about, "usage": {"total_tokens": count(given)}, "results": results}


def shown(given: Any) -> dict[str, Any]:
    return {"text": given} if isinstance(given, str) else given.model_dump(exclude_none=True)


@router.post("/score")
@router.post("/v1/score")
async def score(server: Server, asked: ScoreRequest) -> Any:
    """How well texts or images (text_2) answer a query (text_1), or as many pairs of them."""
    found = Models(server)
    found.named(asked.model)
    queries = asked.text_1 if isinstance(asked.text_1, list) else [asked.text_1]
    documents = asked.text_2 if isinstance(asked.text_2, list) else [asked.text_2]
    if len(queries) not in (1, len(documents)):
        raise UserError(
            f"text_1 has {len(queries)} entries and text_2 has {len(documents)}; give one query, or one per document."
        )
    if len(queries) == 1:
        scores = await server.compute(found.scores, queries[0], documents)
    else:
        pairs = zip(queries, documents, strict=True)
        scores = [(await server.compute(found.scores, query, [one]))[0] for query, one in pairs]
    data = [{"index": place, "object": "score", "score": value} for place, value in enumerate(scores)]
    about = {"id": f"score-{uuid.uuid4().hex}", "object": "list", "model": found.encoder.name}
    return {**about, "data": data, "usage": found.usage(count([*queries, *documents]))}


def count(texts: Sequence[Any]) -> int:
    """Words, which stand for the tokens that other tools count."""
    return sum(len(one.split()) for one in texts if isinstance(one, str))
