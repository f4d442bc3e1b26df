"""Reads files in worker processes; the pages of a document arrive in order, documents in parallel.

A worker that dies, or runs out of time, costs the page it was at; another one goes on with the next.
"""

import queue
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from collotype.runtime.pdf import Word
from collotype.search.ingest.limits import ReadingSettings
from collotype.search.ingest.process import GONE, WorkerProcess
from collotype.search.ingest.sources import Entry, SourceFile, digest_of
from collotype.search.pages import WordsFrom

TOO_LARGE, UNREADABLE, GIVEN_UP = "too large", "cannot be read", "given up"
WAITING_PAGES = 32
"""Read and not yet encoded, at 2 MB where their images are looked at."""


@dataclass(frozen=True)
class Opened:
    document: str
    pages: int
    attached: list[str]
    """Names of the files attached to it."""


@dataclass(frozen=True)
class PageRead:
    document: str
    number: int
    size: tuple[int, int]
    words: list[Word]
    digest: str
    pixels: bytes | None
    """RGB, where the encoder looks at them."""
    words_from: WordsFrom
    label: str


@dataclass(frozen=True)
class Unchanged:
    """A page that the index has as it is."""

    document: str
    number: int


@dataclass(frozen=True)
class Lost:
    """A page that was skipped; with page 0, the whole document."""

    document: str
    page: int
    cause: str
    detail: str
    kept: bool = False
    """The page is indexed all the same, with less than is on it."""


@dataclass(frozen=True)
class Closed:
    """The document's last event; `digest` is that of its file, None where it could not be opened."""

    document: str
    digest: str | None
    unchanged: bool = False


Event = Opened | PageRead | Unchanged | Lost | Closed


def read_all(
    files: Mapping[str, SourceFile],
    known: Mapping[str, Entry],
    digests: Callable[[str], Mapping[int, str]],
    settings: ReadingSettings,
    workers: int,
) -> Generator[Event]:
    """The events of every document; those of a file with the digest that is known are not read.

    What is left to read when the iterator is closed is not read.

    Args:
        digests: of a document, those of its pages that the index has; called by several threads.
    """
    tasks: queue.SimpleQueue[tuple[str, SourceFile]] = queue.SimpleQueue()
    for task in files.items():
        tasks.put(task)
    room = Room(tasks, known, digests, settings)
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

    def __init__(
        self,
        tasks: "queue.SimpleQueue[tuple[str, SourceFile]]",
        known: Mapping[str, Entry],
        digests: Callable[[str], Mapping[int, str]],
        settings: ReadingSettings,
    ):
        self.tasks, self.known, self.digests = tasks, known, digests
        self.settings, self.limits = settings, settings.limits
        self.events: queue.Queue[Event | BaseException] = queue.Queue(WAITING_PAGES)
        self.stopping = threading.Event()
        self.workers: set[WorkerProcess] = set()

    def stop(self) -> None:
        self.stopping.set()
        for worker in list(self.workers):
            worker.kill()

    def put(self, event: Event | BaseException) -> None:
        while not self.stopping.is_set():
            try:
                self.events.put(event, timeout=0.2)
                return
            except queue.Full:
                continue
        raise Stopped

    def work(self) -> None:
        reader = DocumentReader(self)
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

    def document(self, reader: "DocumentReader", document: str, path: Path) -> tuple[str | None, bool]:
        """(digest of the file or None, whether it is unchanged)."""
        try:
            size = path.stat().st_size
            if size > self.limits.file_bytes:
                self.put(
                    Lost(
                        document,
                        0,
                        TOO_LARGE,
                        f"it has {size:,} bytes, more than the limit of {self.limits.file_bytes:,}",
                    )
                )
                return None, False
            digest = digest_of(path)
        except OSError as error:
            self.put(Lost(document, 0, UNREADABLE, error.strerror or str(error)))
            return None, False
        known = self.known.get(document)
        if known and known.is_unchanged(digest):
            return digest, True
        return digest if reader.read(document, path) else None, False


class DocumentReader:
    """A worker process, replaced when it dies."""

    def __init__(self, room: Room):
        self.room = room
        self.worker: WorkerProcess | None = None

    def start(self) -> WorkerProcess:
        self.worker = worker = WorkerProcess(self.room.settings)
        self.room.workers.add(worker)
        if self.room.stopping.is_set():
            raise Stopped
        worker.wait_until_ready()
        return worker

    def end(self) -> int:
        worker, self.worker = self.worker, None
        assert worker
        status = worker.end()
        self.room.workers.discard(worker)
        return status

    def close(self) -> None:
        if self.worker:
            self.worker.kill()
            self.end()

    def read(self, document: str, path: Path) -> bool:
        """Whether the document could be opened."""
        self.opened, self.at, first, lost = False, 0, 1, 0
        digests = self.room.digests(document)
        while True:
            worker = self.worker or self.start()
            try:
                worker.tell(file=str(path), first=first, digests=digests)
                return self.pages(worker, document)
            except GONE:
                why = worker.why(self.end())
                if self.room.stopping.is_set():
                    raise Stopped from None
                self.room.put(Lost(document, self.at, *why))
                lost += 1
                if not self.at:
                    return False
                if lost == self.room.limits.lost_pages:
                    self.room.put(
                        Lost(document, 0, GIVEN_UP, f"after {lost} such pages; the rest of the document is skipped")
                    )
                    return True
                first = self.at + 1

    def pages(self, worker: WorkerProcess, document: str) -> bool:
        """Hands on what the worker answers, until there is no more page; `at` is the page that it is at."""
        while (answer := worker.answer())["event"] != "done":
            match answer["event"]:
                case "opened" if not self.opened:
                    self.opened = True
                    self.room.put(Opened(document, answer["pages"], answer["attached"]))
                case "reading":
                    self.at = answer["page"]
                case "page":
                    pixels = worker.image() if answer["pixels"] else None
                    words = [(text, tuple(box), *own) for text, box, *own in answer["words"]]
                    about = {name: answer[name] for name in ("digest", "words_from", "label")}
                    self.room.put(
                        PageRead(document, answer["page"], tuple(answer["size"]), words, pixels=pixels, **about)
                    )
                case "unchanged":
                    self.room.put(Unchanged(document, answer["page"]))
                case "lost":
                    page = answer.get("page", 0)
                    self.room.put(Lost(document, page, answer["cause"], answer["detail"], answer.get("kept", False)))
                    if not page:
                        return False
        return True
