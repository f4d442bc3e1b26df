"""The shapes of OpenAI, vLLM and TEI, and images in a query's place."""

import base64
import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from collotype.search.hybrid.library import HybridLibrary
from collotype.search.ingest.worker import image_of
from collotype.search.library import EmbeddedLibrary
from collotype.search.pages import EncodedQuery
from collotype.search.server.app import create_app
from tests.search.colour_encoder import COLOURS, ColourEncoder
from tests.search.hybrid.conftest import created, documents, opened
from tests.search.hybrid.conftest import library as hybrid
from tests.search.word_encoder import WordEncoder, vector

__all__ = ["documents", "hybrid", "opened"]
TEXTS = ["a sloop has one mast", "pears keep", "mast sloop"]


class SingleEncoder(WordEncoder):
    interaction = "single"

    def encode_queries(self, queries):
        return [EncodedQuery(one.vectors[:1], one.words, (-1,)) for one in super().encode_queries(queries)]


def png(colour: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 40), COLOURS[colour]).save(content, "PNG")
    return content.getvalue()


def image_part(colour: str) -> dict:
    url = "data:image/png;base64," + base64.b64encode(png(colour)).decode()
    return {"content": [{"type": "image_url", "image_url": {"url": url}}]}


def over(tmp_path: Path, encoder) -> TestClient:
    library = EmbeddedLibrary(created(tmp_path / "of-one", encoder), encoder, image_of)
    return TestClient(create_app(library, None), base_url="http://localhost")


def test_rerank_and_score_have_the_shapes_of_vllm_and_tei(client: TestClient) -> None:
    asked = {"model": "the same words", "query": "sloop mast", "documents": [*TEXTS[:2], {"text": TEXTS[2]}]}
    for address in ("/rerank", "/v1/rerank", "/v2/rerank"):
        answer = client.post(address, json={**asked, "top_n": 2}).json()
        assert [one["index"] for one in answer["results"]] == [0, 2] and answer["model"] == "the same words"
        assert answer["results"][0]["relevance_score"] == pytest.approx(2, abs=1e-4)
        assert answer["results"][1]["document"] == {"text": TEXTS[2]}
    tei = client.post("/rerank", json={"query": "pears", "texts": TEXTS, "return_text": True}).json()
    assert tei[0] == {"index": 1, "score": pytest.approx(1, abs=1e-4), "text": TEXTS[1]} and len(tei) == 3
    one = client.post("/score", json={"text_1": "pears", "text_2": TEXTS}).json()
    assert [row["score"] for row in one["data"]][1] == pytest.approx(1, abs=1e-4)
    pairs = client.post("/v1/score", json={"text_1": ["sloop", "pears"], "text_2": TEXTS[:2]}).json()
    assert [row["score"] for row in pairs["data"]] == pytest.approx([1, 1], abs=1e-4)


def test_embeddings_have_the_shape_of_openai(client: TestClient, tmp_path: Path) -> None:
    refused = client.post("/v1/embeddings", json={"input": "sloop"})
    assert refused.status_code == 400 and "use POST /pooling" in refused.json()["error"]["message"]
    many = client.post("/pooling", json={"input": ["sloop mast", "pears"]}).json()["data"]
    assert [len(one["data"]) for one in many] == [2, 1]
    np.testing.assert_allclose(many[1]["data"][0], vector("pears"), rtol=1e-6)
    single = over(tmp_path, SingleEncoder())
    answer = single.post("/v1/embeddings", json={"input": ["pears", "sloop"], "model": "the same words"}).json()
    assert [row["index"] for row in answer["data"]] == [0, 1] and answer["object"] == "list"
    np.testing.assert_allclose(answer["data"][0]["embedding"], vector("pears"), rtol=1e-6)
    packed = single.post("/v1/embeddings", json={"input": "pears", "encoding_format": "base64"}).json()["data"][0]
    floats = struct.unpack("<64f", base64.b64decode(packed["embedding"]))
    np.testing.assert_allclose(floats, vector("pears"), rtol=1e-6)
    assert single.get("/v1/models").json()["data"][0]["id"] == "the same words"


@pytest.mark.parametrize(
    ("address", "body", "told"),
    [
        ("/v1/embeddings", {"input": []}, "input"),
        ("/v1/embeddings", {"input": "x", "model": "gpt"}, "no model 'gpt'; this server's model is 'the same words'"),
        ("/pooling", {"input": "..."}, "has no word"),
        ("/pooling", {"input": [[1, 2]]}, "valid string"),
        ("/rerank", {"query": "x"}, "give either documents or texts"),
        ("/rerank", {"query": "x", "documents": []}, "at least 1 item"),
        ("/rerank", {"query": "x", "documents": [image_part("red")]}, "encodes text; send documents as text"),
        ("/score", {"text_1": ["a", "b", "c"], "text_2": ["a", "b"]}, "text_1 has 3 entries and text_2 has 2"),
        ("/score", {"text_1": "a"}, "text_2"),
    ],
)
def test_mistakes_are_told_in_openais_form(client: TestClient, address: str, body: dict, told: str) -> None:
    answer = client.post(address, json=body)
    assert answer.status_code in (400, 404)
    error = answer.json()["error"]
    assert told in error["message"] and set(error) == {"message", "type", "param", "code"}


def test_a_model_that_looks_at_pages_takes_images(tmp_path: Path) -> None:
    client = over(tmp_path, ColourEncoder())
    asked = {"query": "green", "documents": [image_part("red"), image_part("green")]}
    assert client.post("/rerank", json=asked).json()["results"][0]["index"] == 1
    scores = client.post("/score", json={"text_1": image_part("red"), "text_2": asked["documents"]}).json()["data"]
    assert scores[0]["score"] > scores[1]["score"]
    for document, told in {
        "text": "encodes images of pages; send documents as",
        "http://127.0.0.1/secret.png": "the server downloads none",
        "data:image/png;base64,%%%": "is not valid base64",
        "data:image/png;base64,AAAA": "The upload is neither an image",
    }.items():
        part = document if document == "text" else {"content": [{"type": "image_url", "image_url": {"url": document}}]}
        answer = client.post("/rerank", json={"query": "red", "documents": [part]})
        assert answer.status_code == 400 and told in answer.json()["error"]["message"], answer.text


def test_the_key_protects_every_door(serve: Callable[..., TestClient]) -> None:
    client = serve(api_key="a long key")
    for method, address in [
        ("POST", "/v1/embeddings"),
        ("POST", "/pooling"),
        ("POST", "/rerank"),
        ("POST", "/v2/rerank"),
        ("POST", "/score"),
        ("GET", "/v1/models"),
        ("POST", "/api/search/image"),
        ("GET", "/api/search/like"),
        ("GET", "/api/openapi.json"),
        ("GET", "/page/app.js"),
    ]:
        assert client.request(method, address).status_code == 401, address
    assert client.get("/").status_code == client.get("/app.js").status_code == 200
    assert client.get("/v1/models", headers={"authorization": "Bearer a long key"}).status_code == 200


def test_an_image_is_sent_and_finds_pages(hybrid: HybridLibrary) -> None:
    client = TestClient(create_app(hybrid, None), base_url="http://localhost")
    assert client.get("/api/documents").json()["images"] is True
    answer = client.post("/api/search/image?k=2", content=png("red")).json()
    best = answer["hits"][0]
    assert best["document"] == "red.png" and answer["query"] == "an image" and len(answer["image"]) == 64
    assert [one["name"] for one in best["found_by"]] == ["colours"]
    assert client.get(best["heatmap"]).headers["content-type"] == "image/jpeg"
    like = client.get("/api/search/like", params={"name": "blue.png", "page": 1, "crop": "0,0,0.5,0.5"}).json()
    assert like["hits"][0]["document"] == "blue.png" and like["query"] == "part of blue.png, page 1"
    both = client.get("/api/search", params={"q": "sloop white"}).json()["hits"][0]
    assert {place["by"] for place in both["places"]} == {"colours", "the same words"}


def test_images_that_cannot_be_looked_for_are_told(client: TestClient) -> None:
    assert client.get("/api/documents").json()["images"] is False
    like = {"name": "fruit.pdf", "page": 1}
    refused = client.get("/api/search/like", params=like)
    assert refused.status_code == 422 and "cannot search by an image" in refused.json()["error"]
    assert client.get("/api/search/like", params={**like, "page": 9}).status_code == 404
    assert client.get("/api/search/like", params={**like, "name": "../etc/passwd"}).status_code == 404
    assert client.get("/api/search/like", params={**like, "crop": "1,1,0,0"}).status_code == 422
    assert client.post("/api/search/image", content=b"").status_code == 422
    heatmap = "/api/documents/fruit.pdf/pages/1/heatmap"
    assert client.get(heatmap).status_code == 422
    assert client.get(heatmap, params={"image": "0" * 64}).status_code == 404
