"""The server as a process: killed, stopped, misused."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest
from starlette.testclient import TestClient

from collotype.search.index import Index
from collotype.search.server.run import listen
from tests.small_pdf import small_pdf

NEW = small_pdf([["Lighthouses blink at night"]])


@contextmanager
def running(folder: Path, seconds: float = 0) -> Iterator[tuple[subprocess.Popen, httpx.Client]]:
    command = [sys.executable, "-m", "tests.search.server.process", str(folder), "0", str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        with httpx.Client(base_url=process.stdout.readline().strip()) as client:
            yield process, client
    finally:
        process.kill()
        process.communicate()


def states(client: httpx.Client | TestClient) -> dict[str, str]:
    return {row["name"]: row["state"] for row in client.get("/api/documents").json()["documents"]}


def test_uploads_outlast_a_kill_and_a_delete_is_finished(folder: Path, serve: Callable[..., TestClient]) -> None:
    with running(folder, seconds=30) as (process, client):
        for name in ("one.pdf", "two.pdf"):
            assert client.put(f"/api/documents/{name}", content=NEW).status_code == 202
        time.sleep(0.3)
        assert states(client)["one.pdf"] == "indexing"
        process.send_signal(signal.SIGKILL)
        process.wait()
    (folder / "incoming" / ".half.partial").write_bytes(b"%PDF-")
    client = serve()
    for _ in range(200):
        found = states(client)
        if found.get("one.pdf") == found.get("two.pdf") == "indexed":
            break
        time.sleep(0.1)
    assert found["one.pdf"] == found["two.pdf"] == "indexed"
    hits = client.get("/api/search", params={"q": "Lighthouses", "k": 2}).json()["hits"]
    assert {hit["document"] for hit in hits} == {"one.pdf", "two.pdf"}
    assert not list((folder / "incoming").iterdir())
    # killed after a file was deleted and before the index was told
    (folder / "documents" / "one.pdf").unlink()
    assert set(states(serve())) == {"fruit.pdf", "sub/boats & more#1.pdf", "two.pdf"}


def test_a_stop_finishes_the_document_that_is_being_indexed(folder: Path) -> None:
    with running(folder, seconds=1) as (process, client):
        client.put("/api/documents/one.pdf", content=NEW)
        client.put("/api/documents/two.pdf", content=NEW)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert [file.name.partition("-")[2] for file in (folder / "incoming").iterdir()] == ["two.pdf"]
    assert "one.pdf" in {document.name for document in Index.open(folder).documents()}


@pytest.mark.parametrize(
    "start",
    [
        b"GET /api/search?q=",
        b"GET /api/health HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ",
        b"PUT /api/documents/one.pdf HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\n%\r\n0\r\nx: ",
    ],
)
def test_headers_without_end_are_refused(folder: Path, start: bytes) -> None:
    with running(folder) as (_, client):
        with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as connection:
            connection.sendall(start)
            with pytest.raises(OSError):
                for _ in range(1000):
                    connection.sendall(b"a" * 65_536)
        # what is long and a body is no header
        assert client.put("/api/documents/two.pdf", content=NEW + b"%" * 2_000_000).status_code == 202


def test_small_answers_are_sent_at_once() -> None:
    """Otherwise the second half of an answer waits 40 ms for the client's word that it has the first."""

    async def delays() -> bool:
        accepted = asyncio.get_running_loop().create_future()
        listening = listen("127.0.0.1", 0)
        server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), sock=listening)
        async with server:
            _, writer = await asyncio.open_connection(*listening.getsockname())
            answering = await accepted
            at_once = answering.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for one in (writer, answering):
                one.close()
            return not at_once

    assert not asyncio.run(delays())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["nowhere"], "There is no index in nowhere"),
        (["nowhere", "--host", "0.0.0.0"], "COLLOTYPE_API_KEY"),
        (["nowhere", "--host", "no.such.host.invalid", "--open"], "There is no host"),
    ],
)
def test_the_command_refuses_in_a_sentence(cli: Callable, options: list[str], sentence: str) -> None:
    done = cli("serve", *options, "--port", "0")
    assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_the_command_refuses_a_port_in_use_and_another_models_index(cli: Callable, folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = cli("serve", folder, "--port", port)
    assert done.returncode == 2 and f"Port {port} of 127.0.0.1 is in use" in done.stderr
    sources = folder / "sources.json"
    content = json.loads(sources.read_text())
    sources.write_text(json.dumps(content | {"model": {"model": "runs/gone/model"}}))
    done = cli("serve", folder, "--port", "0")
    assert done.returncode == 2 and "runs/gone/model" in done.stderr and done.stderr.count("\n") == 1, done.stderr
