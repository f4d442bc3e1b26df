"""The server over the sample slides: 10,000 requests made from its schema, then 50 searches a second for a minute.

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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

import collotype
from collotype.search.encoders import open_encoder
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
    SourceLedger(folder).update({}, model={"model": "reader"})
    ingest([SLIDES], index, encoder)


def resident_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def hostile(address: str) -> Counter:
    """Statuses of requests by the API's schema, right and wrong ones."""
    schema, statuses = schemathesis.openapi.from_url(f"{address}/api/openapi.json"), Counter()
    # an address without arguments has few different requests, so it takes more than one round
    while sum(statuses.values()) < REQUESTS:
        for found in schema.get_all_operations():
            case = found.ok()
            requests = case.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE) | case.as_strategy()

            @settings(
                max_examples=min(500, REQUESTS // 10),
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(requests)
            def ask(case: schemathesis.Case) -> None:
                statuses[case.call(timeout=60).status_code] += 1

            ask()
    return statuses


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


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "index")
        indexed(folder)
        command = [sys.executable, "-m", "collotype", "serve", str(folder), "--port", "0", "--rate", "100000"]
        process = subprocess.Popen([*command, "--upload-mib", "1"], stdout=subprocess.PIPE, text=True)
        try:
            address = process.stdout.readline().split(" at ")[1].split()[0].rstrip("/")
            searched, seconds = steady(address)
            before = resident_mib(process.pid)
            asked = hostile(address)
            after = resident_mib(process.pid)
        finally:
            process.terminate()
            process.wait()
    sent, total = sum(asked.values()), sum(searched.values())
    median, slow = (1000 * seconds[int(part * len(seconds))] for part in (0.5, 0.95))
    errors = sum(count for status, count in asked.items() if status >= 500)
    rows = [
        ("hostile requests answered without a 5xx", sent - errors, "", "sent", sent),
        ("server's memory after them", after, "MiB", "before", before),
        (f"searches at {RATE} a second for {SECONDS:g} s answered", searched[200], "", "sent", total),
        ("their time, 95th percentile", slow, "ms", "median", median),
    ]
    names = ("what", "ours", "unit", "against", "reference")
    print(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))


if __name__ == "__main__":
    main()
