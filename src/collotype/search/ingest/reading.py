"""Files read by worker processes: pages come out in the order of their document, documents side by side.

A worker that dies, or runs out of time, costs the page it was at; another one goes on with the next.
"""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from collotype.runtime.pdf import Box
from collotype.search.ingest.limits import Limits
from collotype.search.ingest.sources import Entry, Source, digest_of

TOO_LARGE, UNREADABLE, UNCHANGED = "too large", "cannot be read", "unchanged"
OUT_OF_TIME, CRASHED, GIVEN_UP = "out of time", "crashed the reader", "given up"
WAITING_PAGES = 32
"""Read and not yet encoded, at 2 MB where their pictures are looked at."""


@dataclass(frozen=True)
class Opened:
    document: str
    pages: int


@dataclass(frozen=True)
class PageRead:
    document: str
    number: int
    size: tuple[int, int]
    words: list[tuple[str, Box]]
    digest: str
    pixels: bytes | None
    """RGB, where the encoder looks at them."""


@dataclass(frozen=True)
class Lost:
    """A page that was skipped; with page 0, the whole document."""

    document: str
    page: int
    cause: str
    detail: str


@dataclass(frozen=True)
class Closed:
    """The document's last event; `digest` is that of its file, None where it could not be opened."""

    document: str
    digest: str | None
    unchanged: bool = False


Event = Opened | PageRead | Lost | Closed


def read_all(
    files: Mapping[str, Source],
    known: Mapping[str, Entry],
    looks_at: Literal["picture", "words"],
    limits: Limits,
    workers: int,
) -> Iterator[Event]:
    """The events of every document; those of a file with the digest that is known are not read.

    What is left to read when the iterator is closed is not read.
    """
    tasks: queue.SimpleQueue[tuple[str, Source]] = queue.SimpleQueue()
    for task in files.items():
        tasks.put(task)
    room = Room(tasks, known, looks_at, limits)
    threads = [threading.Thread(target=room.work, daemon=True) for _ in range(max(1, min(workers, len(files))))]
    for thread in threads:
        thread.start()
    closed = 0
    try:
        while closed < len(files):
            event = room.events.get()
            if isinstance(event, BaseException):
                raise event
            closed += isinstance(event, Closed)
            yield event
    finally:
        room.stop()
        for thread in threads:
            thread.join()


class Stopped(Exception):  # noqa: N818 - no error
    """Nobody wants the rest."""


class Room:
    """Threads that each mind one worker process; what they hear comes together in `events`."""

    def __init__(self, tasks: "queue.SimpleQueue", known: Mapping[str, Entry], looks_at: str, limits: Limits):
        self.tasks, self.known, self.looks_at, self.limits = tasks, known, looks_at, limits
        self.events: queue.Queue[Event | BaseException] = queue.Queue(WAITING_PAGES)
        self.stopping = threading.Event()
        self.processes: set[subprocess.Popen] = set()

    def stop(self) -> None:
        self.stopping.set()
        for process in list(self.processes):
            process.kill()

    def put(self, event: Event | BaseException) -> None:
        while not self.stopping.is_set():
            try:
                self.events.put(event, timeout=0.2)
                return
            except queue.Full:
                continue
        raise Stopped

    def work(self) -> None:
        reader = Reader(self)
        try:
            while not self.stopping.is_set():
                document, source = self.tasks.get_nowait()
                self.put(Closed(document, *self.document(reader, document, source.path)))
        except (queue.Empty, Stopped):
            pass
        except BaseException as error:
            try:
                self.put(error)
            except Stopped:
                pass
        finally:
            reader.close()

    def document(self, reader: "Reader", document: str, path: Path) -> tuple[str | None, bool]:
        """(digest of the file or None, whether it is unchanged)."""
        try:
            size = path.stat().st_size
            if size > self.limits.file_bytes:
                self.put(Lost(document, 0, TOO_LARGE, f"it has {size:,} bytes, at most {self.limits.file_bytes:,}"))
                return None, False
            digest = digest_of(path)
        except OSError as error:
            self.put(Lost(document, 0, UNREADABLE, error.strerror or str(error)))
            return None, False
        known = self.known.get(document)
        if known and known.digest == digest:
            return digest, True
        return digest if reader.read(document, path) else None, False


class Reader:
    """A worker process, replaced when it dies."""

    def __init__(self, room: Room):
        self.room, self.process = room, None

    def start(self) -> None:
        ours, theirs = socket.socketpair()
        settings = json.dumps({"limits": asdict(self.room.limits), "looks_at": self.room.looks_at})
        # one thread: what numerical libraries set aside for more would count against the limit on memory
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "collotype.search.ingest.worker", str(theirs.fileno()), settings],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        self.room.processes.add(self.process)
        self.connection = Connection(ours.detach())
        try:
            self.connection.recv_bytes()
        except (EOFError, ConnectionResetError):
            if self.room.stopping.is_set():
                raise Stopped from None
            raise RuntimeError(f"the page reader cannot start (status {self.end()})") from None

    def end(self) -> int:
        """The status of the process, which is told that there is no more work."""
        process, self.process = self.process, None
        self.connection.close()
        status = process.wait()
        self.room.processes.discard(process)
        return status

    def close(self) -> None:
        if self.process:
            self.process.kill()
            self.end()

    def read(self, document: str, path: Path) -> bool:
        """Whether the document could be opened."""
        first, lost, opened = 1, 0, False
        while True:
            if self.process is None:
                self.start()
            at = 0
            try:
                self.connection.send_bytes(json.dumps({"file": str(path), "first": first}).encode())
                while (answer := json.loads(self.connection.recv_bytes()))["event"] != "done":
                    match answer["event"]:
                        case "opened":
                            if not opened:
                                self.room.put(Opened(document, answer["pages"]))
                            opened = True
                        case "reading":
                            at = answer["page"]
                        case "page":
                            self.room.put(self.page(document, answer))
                        case "lost":
                            at = answer.get("page", 0)
                            self.room.put(Lost(document, at, answer["cause"], answer["detail"]))
                            if not at:
                                return False
                return True
            except (EOFError, ConnectionResetError, BrokenPipeError):
                status = self.end()
                if self.room.stopping.is_set():
                    raise Stopped from None
                self.room.put(Lost(document, at, *self.why(status)))
                lost += 1
                if not at:
                    return False
                if lost == self.room.limits.lost_pages:
                    self.room.put(Lost(document, 0, GIVEN_UP, f"after {lost} such pages; the rest of it is left out"))
                    return True
                first = at + 1

    def page(self, document: str, answer: dict) -> PageRead:
        pixels = self.connection.recv_bytes() if answer["pixels"] else None
        words = [(text, tuple(box)) for text, box in answer["words"]]
        return PageRead(document, answer["page"], tuple(answer["size"]), words, answer["digest"], pixels)

    def why(self, status: int) -> tuple[str, str]:
        """(cause, detail) of a worker's end."""
        if status == -signal.SIGALRM:
            return OUT_OF_TIME, f"more than {self.room.limits.page_s:g} s"
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        return CRASHED, f"{name}; damaged, or more than {self.room.limits.memory_bytes >> 20:,} MiB"
