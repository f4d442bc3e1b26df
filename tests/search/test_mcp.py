"""An index as an assistant's tools, through the protocol's own client."""

import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import anyio
import httpx2
import pytest
import uvicorn
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from typer.testing import CliRunner

from collotype.cli import app
from collotype.search.index import Index
from collotype.search.ingest import ingest
from collotype.search.ingest.worker import image_of
from collotype.search.library import EmbeddedLibrary
from collotype.search.mcp import create_server, http_app
from collotype.search.server.run import address_of, listen
from collotype.search.server.settings import ServerSettings
from tests.search.hybrid.conftest import created
from tests.search.server.conftest import BOATS, FRUIT
from tests.search.word_encoder import WordEncoder
from tests.small_pdf import small_pdf

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mcp")
    documents = place / "documents"
    documents.mkdir()
    (documents / "fruit.pdf").write_bytes(small_pdf(FRUIT))
    (documents / "boats é.pdf").write_bytes(small_pdf(BOATS))
    index = created(place / "index", WordEncoder())
    ingest([documents], index, WordEncoder(), workers=1)
    index.find_languages()
    return place / "index"


@pytest.fixture(scope="module")
def library(folder: Path) -> EmbeddedLibrary:
    return EmbeddedLibrary(Index.open(folder), WordEncoder(), image_of)


async def asked(client: Client) -> None:
    """What an assistant does: which tools are there, a search, a look at the page."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"search", "page_image", "list_documents"}
    answer = await client.call_tool("search", {"query": "sloop mast", "k": 2})
    best = answer.structured_content["pages"][0]
    assert (best["document"], best["page"], best["label"]) == ("boats é.pdf", 2, "")
    assert [place["word"] for place in best["boxes"]] == ["sloop", "mast"] and len(best["boxes"][0]["box"]) == 4
    assert best["link"].endswith("#page=2") and best["found_by"][0]["rank"] == 1
    where = {"document": "boats e\u0301.pdf", "page": 2, "longest_px": 300}
    plain, lit = [
        (await client.call_tool("page_image", {**where, "query": query})).content[0] for query in ("", "sloop")
    ]
    assert plain.mime_type == "image/jpeg" and plain.data != lit.data
    import base64

    assert Image.open(io.BytesIO(base64.b64decode(plain.data))).size == (300, 200)
    listed = (await client.call_tool("list_documents", {"containing": "FRUIT"})).structured_content
    assert listed == {"documents": [{"name": "fruit.pdf", "pages": 2}], "in_all": 1, "languages": {"en": 5}}
    english = (await client.call_tool("search", {"query": "mast", "languages": ["en"]})).structured_content
    assert english["pages"][0]["document"] == "boats é.pdf"


def test_an_assistant_finds_a_page_and_looks_at_it(library: EmbeddedLibrary) -> None:
    async def talk() -> None:
        async with Client(create_server(library)) as client:
            await asked(client)

    anyio.run(talk)


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("search", {"query": " "}, "The query is empty"),
        ("search", {"query": "..."}, "has no word"),
        ("search", {"query": "mast", "documents": ["../../etc/passwd"]}, "There is no document '../../etc/passwd'"),
        (
            "search",
            {"query": "mast", "languages": ["de"]},
            "No page in the index is in the language 'de'; its languages are en",
        ),
        ("search", {"query": "mast", "k": 10**9}, "less than or equal to 20"),
        ("search", {"query": ["mast"]}, "valid string"),
        ("page_image", {"document": "/etc/passwd", "page": 1}, "There is no document"),
        ("page_image", {"document": "fruit.pdf", "page": 99}, "has no page 99"),
        ("page_image", {"document": "fruit.pdf", "page": 1, "longest_px": 10**6}, "less than or equal to 2000"),
        ("list_documents", {"start": -1}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_done_is_told_in_the_protocols_form(
    library: EmbeddedLibrary, tool: str, arguments: dict, told: str
) -> None:
    async def talk() -> None:
        async with Client(create_server(library, files=False)) as client:
            answer = await client.call_tool(tool, arguments)
            assert answer.is_error and told in answer.content[0].text, answer
            assert str(library.index.folder.parent) not in answer.content[0].text

    anyio.run(talk)


@pytest.fixture
def address(library: EmbeddedLibrary) -> Iterator[str]:
    listening = listen("127.0.0.1", 0)
    app = http_app(library, ServerSettings(api_key="a long key", read_only=True), files=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield f"{address_of(listening)}mcp"
    server.should_exit = True
    thread.join()


def test_over_http_the_key_is_asked_for(address: str) -> None:
    async def talk() -> None:
        async with httpx2.AsyncClient(headers={"authorization": "Bearer a long key"}) as http:
            async with Client(streamable_http_client(address, http_client=http)) as client:
                await asked(client)

    anyio.run(talk)
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert httpx2.post(address, json=call).status_code == 401
    key = {"x-api-key": "a long key"}
    assert httpx2.post(address, json=call, headers={**key, "host": "evil.example"}).status_code == 421
    assert httpx2.post(address, json=call, headers={**key, "origin": "https://evil.example"}).status_code == 403
    assert httpx2.post(address, content=b"x" * (2**20 + 1), headers=key).status_code == 413
    for body in (b"", b"{", b"[]", b"[1]", b'{"jsonrpc": "2.0", "id": {}, "method": 3}', b"\xff\xfe", b"null"):
        for kind in ("application/json", "text/plain"):
            headers = {**key, "content-type": kind, "accept": "application/json, text/event-stream"}
            assert 400 <= httpx2.post(address, content=body, headers=headers).status_code < 500


def test_the_command_speaks_over_standard_input(folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; import collotype.search.encoders as e; "
        "from tests.search.word_encoder import WordEncoder; e.open_encoder = lambda **model: WordEncoder(); "
        "from collotype.cli import main; sys.argv = ['collotype', 'mcp', sys.argv[1]]; main()"
    )
    sources = folder / "sources.json"
    import json

    sources.write_text(json.dumps({**json.loads(sources.read_text()), "model": {"model": "words"}}))
    command = StdioServerParameters(
        command=sys.executable, args=["-c", script, str(folder)], env={**os.environ}, cwd=str(ROOT)
    )

    async def talk() -> None:
        async with Client(command) as client:
            await asked(client)

    anyio.run(talk)


def test_the_command_takes_a_second_stage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = {}
    monkeypatch.setattr("collotype.search.open_library.open_library", lambda *_, **options: opened.update(options))
    monkeypatch.setattr("collotype.search.mcp.create_server", lambda _: SimpleNamespace(run=lambda _: None))
    done = CliRunner().invoke(app, ["mcp", str(folder), "--rerank", "MODEL", "--rerank-first", "20"])
    assert done.exit_code == 0 and opened == {"rerank": "MODEL", "first": 20}
