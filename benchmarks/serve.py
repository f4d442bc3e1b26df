"""The server over the sample slides: 50 searches a second for a minute, then 10,000 requests made from its schema,
among them those of the doors for other tools, and 10,000 messages to MCP over HTTP: what they are answered, which files
the servers open meanwhile, and what answers without the key.

SERVE_REQUESTS and SERVE_SECONDS ask for less. The server is a process of its own; nothing but this machine is asked.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import collotype
from collotype.search.encoders import open_encoder, to_keep
from collotype.search.index import Index
from collotype.search.ingest import SourceLedger, ingest

REQUESTS, SECONDS = int(os.environ.get("SERVE_REQUESTS", 10_000)), float(os.environ.get("SERVE_SECONDS", 60))
RATE = 50
"""Searches a second."""
SLIDES = Path(collotype.__file__).parent / "assets" / "slides"
QUERIES = [
    "who maintains a package",
    "build dependencies",
    "dpkg-buildpackage",
    "debian rules file",
    "quilt patches",
    "upload to the archive",
    "watch file for new versions",
    "licence of the upstream source",
]


def indexed(folder: Path) -> None:
    encoder = open_encoder("reader")
    about = {"identity": encoder.identity, "dim": encoder.dim, "interaction": encoder.interaction}
    index = Index.create(folder, encoder_name=encoder.name, **about)
    SourceLedger(folder).update({}, model=to_keep({"model": "reader"}, encoder))
    ingest([SLIDES], index, encoder)


def resident_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@dataclass
class Asked:
    """What became of hostile requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    leaked: int = 0
    """Answers with what stands in a file beside the index."""

    def take(self, answer: Any) -> None:
        # an error that JSON-RPC calls internal is one of the server
        internal = answer.status_code == 200 and b'"code":-32603' in answer.content
        self.statuses[500 if internal else answer.status_code] += 1
        self.leaked += SECRET.encode() in answer.content


def repeated(requests: st.SearchStrategy, ask: Callable[[Any], None], times: int) -> None:
    @settings(
        max_examples=times,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests)
    def one(request: Any) -> None:
        ask(request)

    one()


def hostile(address: str) -> Asked:
    """Requests by the API's schema, right and wrong ones: the web page's, and those of the doors for other tools."""
    schema, asked = schemathesis.openapi.from_url(f"{address}/api/openapi.json"), Asked()
    # an address without arguments has few different requests, so it takes more than one round
    while sum(asked.statuses.values()) < REQUESTS:
        for found in schema.get_all_operations():
            case = found.ok()
            requests = case.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE) | case.as_strategy()
            repeated(requests, lambda case: asked.take(case.call(timeout=60)), min(500, REQUESTS // 10))
    return asked


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=600),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["../secret.pdf", "/etc/passwd", "..%2fsecret.pdf", "packaging-tutorial.de.pdf", "\0", ""])
ARGUMENTS = ["query", "k", "documents", "languages", "document", "page", "longest_px", "containing", "start", "count"]
CALLS = st.builds(
    lambda method, tool, arguments, id: {
        "jsonrpc": "2.0",
        "id": id,
        "method": method,
        "params": {"name": tool, "arguments": arguments} if method == "tools/call" else arguments,
    },
    st.sampled_from(["tools/call"] * 8 + ["tools/list", "initialize", "resources/read", "ping", "nothing/there"]),
    st.sampled_from(["search", "page_image", "list_documents", "nothing"]),
    st.dictionaries(
        st.sampled_from(ARGUMENTS), st.integers(-2, 30) | NAMES | st.lists(NAMES, max_size=3) | ANYTHING, max_size=5
    )
    | ANYTHING,
    st.integers() | st.text(max_size=10) | ANYTHING,
)


def hostile_mcp(address: str) -> Asked:
    """Messages to an assistant's tools: right ones, wrong ones, and what is no message at all."""
    asked = Asked()
    headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    with httpx.Client(timeout=60, headers=headers) as client:

        def ask(content: bytes) -> None:
            while (answer := client.post(f"{address}/mcp", content=content)).status_code == 429:
                time.sleep(0.05)
            asked.take(answer)

        messages = (CALLS | ANYTHING | st.lists(CALLS, max_size=3)).map(lambda message: json.dumps(message).encode())
        repeated(messages | CALLS.map(lambda call: json.dumps(call).encode()) | st.binary(max_size=200), ask, REQUESTS)
    return asked


def without_key(address: str, paths: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The statuses of addresses that answer without the key, but for those that say so (`docs/serve.md`)."""
    found = {}
    for method, path in paths:
        if path in ("/api/health", "/api/session"):
            continue
        for headers in ({}, {"authorization": "Bearer wrong"}, {"cookie": "collotype=wrong"}):
            status = httpx.request(method, address + path.replace("{name}", "a.pdf"), headers=headers).status_code
            if status != 401:
                found[f"{method} {path}"] = status
    return found


def steady(address: str) -> tuple[Counter, list[float]]:
    """Statuses and seconds of searches sent at the times they are due, whether or not those before are answered."""
    statuses, seconds, client = Counter(), list[float](), httpx.Client(base_url=address, timeout=30)
    begin, turn = time.monotonic(), threading.Lock()

    def ask(number: int) -> None:
        time.sleep(max(0, begin + number / RATE - time.monotonic()))
        started = time.monotonic()
        query = f"{QUERIES[number % len(QUERIES)]} {number}"  # none is asked twice
        try:
            status = client.get("/api/search", params={"q": query, "k": 12}).status_code
        except httpx.HTTPError as error:
            status = type(error).__name__
        with turn:
            statuses[status] += 1
            seconds.append(time.monotonic() - started)

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(ask, range(int(RATE * SECONDS))))
    return statuses, sorted(seconds)


WATCHED = """
import os, sys
log = os.open(os.environ["OPENED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def told(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        os.write(log, (os.path.realpath(arguments[0]).replace("\\n", " ") + "\\n").encode(errors="replace"))
sys.addaudithook(told)
"""
SECRET = "what nobody may read"


class Server:
    """A server as a process of its own, that writes down which files it opens."""

    def __init__(self, place: Path, *command: str, **environment: str):
        for name in ("watch", "scratch"):
            (place / name).mkdir(exist_ok=True)
        (place / "watch" / "sitecustomize.py").write_text(WATCHED)
        self.opened = place / f"opened-{command[0]}"
        paths = f"{place / 'watch'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        known = {**os.environ, "PYTHONPATH": paths, "OPENED": str(self.opened), "TMPDIR": str(place / "scratch")}
        known |= environment
        words = [sys.executable, "-m", "collotype", command[0], str(place / "index"), "--port", "0", *command[1:]]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=known)
        self.address = self.process.stdout.readline().split(" at ")[1].split()[0].removesuffix("mcp").rstrip("/")

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def outside(self, place: Path) -> set[str]:
        """Files of a person that it opened: none of the index, of the documents, of Python or the system's own."""
        python = [Path(one).resolve() for one in (Path(collotype.__file__).parent, sys.prefix, sys.base_prefix)]
        own = (place / "index", SLIDES, place / "watch", place / "scratch", *python)
        system = ("/proc/", "/sys/", "/dev/", "/usr/", "/etc/", "/lib", "pipe:", str(Path.home() / ".cache"))
        starts = (*map(str, own), *system)
        return {file for file in self.opened.read_text().splitlines() if not file.startswith(starts)}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch).resolve()
        (place / "secret.pdf").write_text(SECRET)
        indexed(place / "index")
        with Server(place, "serve", "--rate", "100000", "--upload-mib", "1") as server:
            searched, seconds = steady(server.address)
            before = resident_mib(server.process.pid)
            asked = hostile(server.address)
            after = resident_mib(server.process.pid)
            outside = server.outside(place)
        with Server(place, "mcp", "--http") as assistants:
            called = hostile_mcp(assistants.address)
            outside |= assistants.outside(place)
        with Server(place, "serve", COLLOTYPE_API_KEY="a long key") as server:
            schema = httpx.get(f"{server.address}/api/openapi.json", headers={"x-api-key": "a long key"}).json()
            paths = [(method.upper(), path) for path, methods in schema["paths"].items() for method in methods]
            let_in = without_key(server.address, [*paths, ("GET", "/api/openapi.json")])
        with Server(place, "mcp", "--http", COLLOTYPE_API_KEY="a long key") as assistants:
            let_in |= without_key(assistants.address, [("POST", "/mcp"), ("GET", "/mcp"), ("DELETE", "/mcp")])
    median, slow = (1000 * seconds[int(part * len(seconds))] for part in (0.5, 0.95))
    rows = [
        ("server's memory after hostile requests", after, "MiB", "before", before),
        (f"searches at {RATE} a second for {SECONDS:g} s answered", searched[200], "", "sent", searched.total()),
        ("their time, 95th percentile", slow, "ms", "median", median),
        ("addresses that answer without the key", len(let_in), "", "asked", len(paths) + 2),
        ("files opened outside the index and its documents", len(outside), "", "allowed", 0),
        ("answers with what stands beside the index", asked.leaked + called.leaked, "", "allowed", 0),
    ]
    for what, found in (("hostile requests", asked), ("hostile messages to MCP", called)):
        errors = sum(count for status, count in found.statuses.items() if status >= 500)
        sent = found.statuses.total()
        rows.append((f"{what} answered without a 5xx", sent - errors, "", "sent", sent))
    names = ("what", "ours", "unit", "against", "reference")
    print(f"{dict(asked.statuses)}, {dict(called.statuses)}; without the key: {let_in}; {outside}", file=sys.stderr)
    print(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))


if __name__ == "__main__":
    main()
