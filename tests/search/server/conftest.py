"""A server over a small index: two documents of a folder outside it."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn
from starlette.testclient import TestClient

from collotype.search.index import Index
from collotype.search.ingest import ingest
from collotype.search.ingest.worker import image_of
from collotype.search.library import EmbeddedLibrary
from collotype.search.server.app import create_app
from collotype.search.server.run import address_of, listen
from collotype.search.server.settings import ServerSettings
from tests.search.server import chromium
from tests.search.word_encoder import WordEncoder
from tests.small_pdf import small_pdf

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

FRUIT = [["Apples ripen in autumn", "pick them dry"], ["Pears keep until spring"]]
BOATS = [["A ketch has two masts"], ["A sloop has one mast"], ["Varnish the mast in spring"]]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `elsewhere`, where documents are, and `index`, which each test gets a copy of."""
    place = tmp_path_factory.mktemp("made")
    folder, encoder = place / "elsewhere", WordEncoder()
    (folder / "sub").mkdir(parents=True)
    (folder / "fruit.pdf").write_bytes(small_pdf(FRUIT))
    (folder / "sub" / "boats & more#1.pdf").write_bytes(small_pdf(BOATS))
    about = {"identity": encoder.identity, "dim": encoder.dim, "interaction": encoder.interaction}
    index = Index.create(place / "index", encoder_name=encoder.name, **about)
    ingest([folder], index, encoder, workers=1)
    # the first search imports what computes, for which a busy machine takes longer than a browser waits here
    index.search(*encoder.encode_queries(["mast"]))
    return place


@pytest.fixture
def folder(tmp_path: Path, made: Path) -> Path:
    """Of the index."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    sources = tmp_path / "index" / "sources.json"
    sources.write_text(sources.read_text().replace(str(made), str(tmp_path)))
    return tmp_path / "index"


@pytest.fixture
def documents(folder: Path) -> Path:
    return folder.parent / "elsewhere"


@pytest.fixture
def library(folder: Path) -> EmbeddedLibrary:
    return EmbeddedLibrary(Index.open(folder), WordEncoder(), image_of)


@pytest.fixture
def serve(library: EmbeddedLibrary, folder: Path) -> Iterator[Callable[..., TestClient]]:
    """`serve(api_key="…")` is a client of a server with those settings."""
    with ExitStack() as running:

        def start(**settings) -> TestClient:
            app = create_app(library, folder, ServerSettings(**settings))
            return running.enter_context(TestClient(app, base_url="http://localhost"))

        yield start


@pytest.fixture
def client(serve: Callable[..., TestClient]) -> TestClient:
    return serve()


@pytest.fixture
def address(library: EmbeddedLibrary, folder: Path) -> Iterator[Callable[..., str]]:
    """`address(api_key="…")` is where a server with these settings listens."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(**settings) -> str:
        listening = listen("127.0.0.1", 0)
        server = uvicorn.Server(
            uvicorn.Config(create_app(library, folder, ServerSettings(**settings)), log_level="error")
        )
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        running.append((server, thread))
        return address_of(listening)

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    if chromium.found() is None:
        pytest.skip("no Chromium here: `apt-get install chromium`, or name one in COLLOTYPE_CHROMIUM")
    with chromium.browser() as running:
        yield running


@pytest.fixture
def visit(browser: "Browser", address: Callable[..., str]) -> "Iterator[Callable[..., Page]]":
    """`visit("?q=…", width=…)` is the page; it must not have complained at the end."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def go(path: str = "", width: int = 1280, settings: dict | None = None, **options) -> "Page":
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(address(**settings or {}) + path)
        return page

    yield go
    for context in contexts:
        context.close()
    assert not [one for one in complaints if "401" not in one]
