"""A retriever behind vLLM's pooling endpoint: a loopback server that answers as its documentation says."""

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from collotype.runtime.errors import UserError
from collotype.search.encoders import open_encoder
from collotype.search.pages import Page
from tests.search.colour_encoder import COLOURS, ColourEncoder, direction, quarters

NAME = "org/colours"


def pooled(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    if asked["model"] != NAME or asked["task"] != "token_embed":
        return 404, {"error": {"message": "The model does not exist.", "type": "NotFoundError", "code": 404}}
    if "messages" in asked:
        image, text = asked["messages"][0]["content"]
        content = base64.b64decode(image["image_url"]["url"].removeprefix("data:image/png;base64,"))
        vectors = quarters(Image.open(io.BytesIO(content)))
        assert text["type"] == "text"
    else:
        vectors = np.array([direction(COLOURS.get(word, (0, 0, 0))) for word in asked["input"].split()])
    data = [{"index": 0, "object": "pooling", "data": (3 * vectors).tolist()}]
    return 200, {"id": "pool-1", "object": "list", "model": NAME, "data": data}


@pytest.fixture
def vllm() -> Iterator[Callable[..., str]]:
    """`vllm(answer)` is its address."""
    running: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[dict[str, Any]], tuple[int, Any]] = pooled) -> str:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words: object) -> None: ...

            def send(self, status: int, content: Any) -> None:
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.send(200, {"object": "list", "data": [{"id": NAME, "root": NAME}]})

            def do_POST(self) -> None:
                self.send(*answer(json.loads(self.rfile.read(int(self.headers["content-length"])))))

        running.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=running[-1].serve_forever).start()
        return f"vllm://127.0.0.1:{running[-1].server_port}"

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


def test_it_is_an_encoder_as_others_are(vllm: Callable[..., str]) -> None:
    address = f"{vllm()}/{NAME}"
    encoder = open_encoder(address)
    assert (encoder.name, encoder.dim, encoder.interaction, encoder.looks_at) == (address, 4, "late", "picture")
    image = Image.new("RGB", (40, 40), COLOURS["red"])
    page = Page(document="a.png", number=1, digest="", size=image.size, image=lambda: image)
    (found,) = encoder.encode_pages([page])
    np.testing.assert_allclose(found.vectors, ColourEncoder().encode_pages([page])[0].vectors, rtol=1e-5)
    assert np.isnan(found.boxes).all() and found.boxes.shape == (4, 4)
    (query,) = encoder.encode_queries(["red green"])
    np.testing.assert_allclose(np.linalg.norm(query.vectors, axis=1), 1, rtol=1e-5)
    assert query.words == ("red", "green") and query.word_of == (-1, -1)
    assert len(encoder.encode_images([image])[0].vectors) == 4
    assert open_encoder(address).identity == encoder.identity


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((500, {"error": {"message": "out of memory"}}), r"refuses /pooling \(500\): out of memory"),
        ((200, {"data": []}), "does not return a vector per token"),
        ((200, {"data": [{"data": [0.1, 0.2]}]}), "does not return a vector per token"),
        ((200, {"data": [{"data": [[0.0, 0.0]]}]}), "does not return a vector per token"),
        ((200, {"data": [{"data": [[1.0], [1.0, 2.0]]}]}), "does not return a vector per token"),
        ((200, [1]), "refuses /pooling"),
        ((200, b"<html>"), "There is no vLLM at 127.0.0.1"),
    ],
)
def test_answers_that_are_none_are_told(vllm: Callable[..., str], answer: tuple[int, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        open_encoder(f"{vllm(lambda asked: answer)}/{NAME}")


def test_addresses_that_lead_nowhere_are_told(vllm: Callable[..., str]) -> None:
    with pytest.raises(UserError, match="serves org/colours, but not 'other'"):
        open_encoder(f"{vllm()}/other")
    with pytest.raises(UserError, match=r"There is no vLLM at 127.0.0.1:1 .*start it with `vllm serve x"):
        open_encoder("vllm://127.0.0.1:1/x")
    for wrong in ("vllm://", "vllm://host", "vllm://host/", "vllm://ho st/x", "vllm://h:123456/x"):
        with pytest.raises(UserError, match="is not the address of a model; write vllm://HOST"):
            open_encoder(wrong)
    with pytest.raises(UserError, match="leave those options out"):
        open_encoder("vllm://host/x", preset="colpali-paper")
