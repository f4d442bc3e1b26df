"""A retriever that vLLM serves: `vllm://HOST:PORT/NAME`, by its pooling endpoint with the task `token_embed`.

vLLM does not say which vector looks at which place of a page, so hits have no places and no heatmaps. What stands
around a query is the server's chat template; a query is sent as it is.
"""

import base64
import hashlib
import http.client
import io
import json
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from collotype.runtime.errors import UserError
from collotype.search.image_query import WORD
from collotype.search.pages import EncodedPage, EncodedQuery, Page

if TYPE_CHECKING:
    from PIL import Image

KEY, PORT, ANSWER_S, ANSWER_BYTES = "VLLM_API_KEY", 8000, 120, 256 * 2**20
SCHEMES = {"vllm": http.client.HTTPConnection, "vllm+https": http.client.HTTPSConnection}
PAGE_PROMPT = "Describe the image."
"""Beside a page, as the retrievers that vLLM has were trained."""
PROBE = "page"


def is_vllm(model: str) -> bool:
    return model.partition("://")[0] in SCHEMES


class VllmEncoder:
    """
    Raises:
        UserError: nothing answers there, or it has no such model.
    """

    looks_at: Literal["picture"] = "picture"
    interaction: Literal["late"] = "late"

    def __init__(self, address: str):
        found = re.fullmatch(r"(vllm(?:\+https)?)://([\w.-]+|\[[\da-fA-F:]+\])(?::(\d{1,5}))?/([^?#\s]+)", address)
        if not found:
            raise UserError(f"{address!r} is not the address of a model; write vllm://HOST:{PORT}/NAME.")
        scheme, host, port, self.model = found.groups()
        self.name, self.host, self.port, self.connect = address, host.strip("[]"), int(port or PORT), SCHEMES[scheme]
        served = {one.get("id"): one for one in self.ask("GET", "/v1/models").get("data", [])}
        if self.model not in served:
            raise UserError(
                f"{host} serves {', '.join(map(str, served)) or 'no model'}, but not {self.model!r}; name a served "
                "model."
            )
        self.dim = self.vectors({"input": PROBE}).shape[1]
        facts = ["vllm", self.model, served[self.model].get("root"), self.dim, PAGE_PROMPT]
        # weights cannot be seen through an endpoint: their name stands for them
        self.identity = hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def encode_pages(self, pages: Sequence[Page]) -> list[EncodedPage]:
        found = [self.image_vectors(page.image()) for page in pages]
        return [EncodedPage(vectors, np.full((len(vectors), 4), np.nan, np.float32)) for vectors in found]

    def encode_queries(self, queries: Sequence[str]) -> list[EncodedQuery]:
        found = [self.vectors({"input": query}) for query in queries]
        return [
            EncodedQuery(vectors, tuple(query.split()), (-1,) * len(vectors))
            for query, vectors in zip(queries, found, strict=True)
        ]

    def encode_images(self, images: "Sequence[Image.Image]") -> list[EncodedQuery]:
        found = [self.image_vectors(image) for image in images]
        return [EncodedQuery(vectors, (WORD,), (-1,) * len(vectors)) for vectors in found]

    def image_vectors(self, image: "Image.Image") -> np.ndarray:
        content = io.BytesIO()
        image.convert("RGB").save(content, "PNG")
        url = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
        parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": PAGE_PROMPT}]
        return self.vectors({"messages": [{"role": "user", "content": parts}]})

    def vectors(self, asked: dict[str, Any]) -> np.ndarray:
        """float32 [n, D] of unit length.

        Raises:
            UserError: the answer has none.
        """
        answer = self.ask("POST", "/pooling", {"model": self.model, "task": "token_embed", **asked})
        try:
            found = np.array(answer["data"][0]["data"], np.float32)
        except (KeyError, IndexError, TypeError, ValueError):
            found = np.empty(0, np.float32)
        lengths = np.linalg.norm(found, axis=-1, keepdims=True)
        if found.ndim != 2 or not len(found) or not np.isfinite(found).all() or not lengths.all():
            raise UserError(
                f"{self.name} does not return a vector per token; serve a late-interaction retriever with `vllm serve "
                "NAME --runner pooling`."
            )
        if found.shape[1] != getattr(self, "dim", found.shape[1]):
            raise UserError(
                f"{self.name} now returns vectors of {found.shape[1]} numbers, but returned {self.dim} before."
            )
        vectors: np.ndarray = found / lengths
        return vectors

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """
        Raises:
            UserError: there is no answer, or it is a refusal.
        """
        headers = {"content-type": "application/json"}
        if key := os.environ.get(KEY):
            headers["authorization"] = f"Bearer {key}"
        connection = self.connect(self.host, self.port, timeout=ANSWER_S)
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            content = answer.read(ANSWER_BYTES)
            found = json.loads(content)
        except (OSError, OverflowError, http.client.HTTPException, ValueError) as error:
            raise UserError(
                f"There is no vLLM at {self.host}:{self.port} ({type(error).__name__}: {error}); start it with "
                f"`vllm serve {self.model} --runner pooling`."
            ) from error
        finally:
            connection.close()
        if answer.status != 200 or not isinstance(found, dict):
            raise UserError(f"vLLM at {self.host}:{self.port} refuses {path} ({answer.status}): {error_message(found)}")
        return found


def error_message(answer: Any) -> str:
    """The sentence in a refusal."""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    return str(error.get("message", error) if isinstance(error, dict) else error)[:300]
