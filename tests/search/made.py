"""Small pages and queries, and processes that write and read an index at once."""

import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from collotype.search.index import Index
from collotype.search.pages import EncodedPage, EncodedQuery, Page, Word

ROOT = Path(__file__).parents[2]
DIM = 16
STAYS = "stays.pdf"
"""A document of one page that nobody deletes while processes write and read."""
DESCRIBED = {"encoder_name": "a test", "identity": "0123456789abcdef", "dim": DIM, "interaction": "late"}


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def page(
    document: str = "a.pdf", number: int = 1, *, seed: int = 0, count: int = 5, words: Sequence[Word] = (), **metadata
) -> tuple[Page, EncodedPage]:
    """A page with `count` random vectors, each with a box of its own: [0, place / count, 1, (place + 1) / count]."""
    random = np.random.default_rng([seed, number, *document.encode(errors="surrogateescape")])
    tops = np.arange(count) / max(count, 1)
    boxes = np.stack([tops * 0, tops, tops * 0 + 1, tops + 1 / max(count, 1)], axis=1).astype(np.float32)
    encoded = EncodedPage(unit(random.standard_normal((count, DIM))), boxes)
    made = Page(
        document=document,
        number=number,
        digest=f"{seed}",
        size=(600, 800),
        image=lambda: None,
        words=words,
        metadata=metadata,
    )
    return made, encoded


def query_of(
    encoded: EncodedPage, rows: Sequence[int] = (0, 1), words: Sequence[str] = ("some", "words")
) -> EncodedQuery:
    return EncodedQuery(encoded.vectors[list(rows)], tuple(words), tuple(range(len(rows))))


def write_for_ever(folder: str, writer: str, size: str) -> None:
    """Adds pages of its own document, `size` at a time, and says so once they are acknowledged."""
    index, number = Index.open(folder), 0
    while True:
        batch = [page(f"{writer}.pdf", number + place + 1) for place in range(int(size))]
        index.add(batch)
        number += len(batch)
        print(number, flush=True)


def write_for(folder: str, writer: str, seconds: str) -> None:
    """Adds pages, deletes and replaces documents, optimises; what it has in the end, page numbers by document."""
    index, round_, have = Index.open(folder), 0, {}
    wait_to_begin()
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        round_ += 1
        name = f"{writer}-{round_}.pdf"
        index.add([page(name, number) for number in range(1, 6)])
        index.update(name, [page(name, number, seed=1) for number in range(1, 4)], range(1, 5))
        have[name] = 4
        if round_ % 3 == 0:
            gone = f"{writer}-{round_ - 1}.pdf"
            assert index.delete(gone) == have.pop(gone)
        if round_ % 10 == 0:
            index.optimize()
    print(json.dumps(have), flush=True)


def wait_to_begin() -> None:
    """So that all processes are at work at once, however long one takes to start."""
    print("ready", flush=True)
    sys.stdin.readline()


def read(folder: str) -> None:
    """Searches until its input ends; fails where a page that is always there is not found, or one is found twice."""
    index, searches = Index.open(folder), 0
    wanted = query_of(page(STAYS)[1], range(5), "abcde")
    wait_to_begin()
    while not select.select([sys.stdin], [], [], 0)[0]:
        for plan in ("exact", "bits"):
            hits = index.search(wanted, 5, plan=plan)
            assert hits[0].document == STAYS, hits
            assert len({hit.link for hit in hits}) == len(hits), hits
            searches += 1
        by_document = {document.name: document.pages for document in index.documents()}
        assert set(by_document.values()) <= {1, 4, 5}, by_document
    print(searches, flush=True)


def numbers_of(index: Index, document: str) -> list[int]:
    """Page numbers as the table has them, twice where a page appears twice."""
    catalogue = index.view().version.catalogue
    return sorted(catalogue.numbers[catalogue.of_document(document)].tolist())


def start(*arguments: object) -> subprocess.Popen:
    """`write`, `write-for` or `read` in a process of its own."""
    command = [sys.executable, "-m", "tests.search.made", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True, cwd=ROOT
    )


def kill_at_random(folder: Path, kills: int, seconds: float) -> int:
    """Kills a writer again and again, after each checks what is there; how many pages were acknowledged in all.

    Args:
        seconds: within which it is killed, counted from its first acknowledgement.
    """
    random, acknowledged = np.random.default_rng(), 0
    Index.create(folder, **DESCRIBED)
    for kill in range(kills):
        process = start("write", folder, f"writer-{kill}", 1 + kill % 4)
        said = [process.stdout.readline()]
        time.sleep(random.uniform(0, seconds))
        process.send_signal(signal.SIGKILL)
        rest, errors = process.communicate()
        assert said[0], errors
        # a line without its end was cut by the kill
        last = int((said[0] + rest).rpartition("\n")[0].split()[-1])
        index = Index.open(folder)
        numbers = numbers_of(index, f"writer-{kill}.pdf")
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= last, (last, numbers)
        middle = page(f"writer-{kill}.pdf", max(1, last // 2))
        assert index.search(query_of(middle[1], range(5), "abcde"), 1, plan="bits")[0].link == middle[0].id
        acknowledged += last
    return acknowledged


def write_and_read_together(folder: Path, seconds: float) -> tuple[int, int]:
    """Two writers and a reader at once; how many documents are there in the end, and how many searches there were."""
    Index.create(folder, **DESCRIBED).add([page(STAYS)])
    writers = [start("write-for", folder, name, seconds) for name in ("one", "other")]
    reader = start("read", folder)
    for process in (*writers, reader):
        process.stdout.readline()
    for process in (reader, *writers):
        process.stdin.write("begin\n")
        process.stdin.flush()
    said = [process.communicate(timeout=seconds + 120) for process in (*writers, reader)]
    assert [process.returncode for process in (*writers, reader)] == [0, 0, 0], [errors for _, errors in said]
    expected = {STAYS: 1, **json.loads(said[0][0]), **json.loads(said[1][0])}
    index = Index.open(folder)
    assert {document.name: document.pages for document in index.documents()} == expected
    for name in expected:
        assert numbers_of(index, name) == list(range(1, expected[name] + 1))
    return len(expected), int(said[2][0])


if __name__ == "__main__":
    {"write": write_for_ever, "write-for": write_for, "read": read}[sys.argv[1]](*sys.argv[2:])
