"""Uploads: received, stored, and indexed one after the other by a thread.

A file streams into `incoming/` under a passing name; whole and synced it gets its own, which is when the client is
told that it has been taken. It is linked into `documents/`, indexed from there, and leaves `incoming/` last: a kill at
any moment leaves it to be taken up when the server starts again. A document is deleted file first: what is indexed and
has lost its file is deleted at the next start.
"""

import logging
import os
import threading
import time
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeGuard

from starlette.concurrency import run_in_threadpool

from collotype.runtime.errors import UserError
from collotype.runtime.files import PARTIAL, room_to_write, sweep_partial, sync
from collotype.search.ingest.kinds import FIRST_BYTES, KINDS, named_kinds, readable
from collotype.search.library import IndexLibrary, Progress
from collotype.search.server.metrics import Metrics
from collotype.search.server.middleware import RefusedError

LOG = logging.getLogger(__name__)
STAMP_DIGITS = 20
"""Of the nanoseconds before a name in `incoming/`, which keep the order and let a newer file of the same name wait."""
NAME_BYTES = 200
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode's categories of what prints nothing."""
REMEMBERED = 100
"""Failures shown; the oldest is forgotten first."""


@dataclass(frozen=True)
class Upload:
    name: str
    state: Literal["waiting", "indexing", "failed"]
    done: int = 0
    total: int = 0
    problem: str = ""


class Intake:
    """
    Args:
        folder: of the index; None where nothing is ever taken in.
    """

    def __init__(self, library: IndexLibrary, folder: Path | None, capacity: int, metrics: Metrics):
        self.library, self.capacity, self.metrics = library, capacity, metrics
        folder = Path(os.path.abspath(folder or os.devnull))
        self.incoming, self.kept = folder / "incoming", folder / "documents"
        self.lock = threading.Condition()
        self.waiting: dict[str, Path] = {}
        self.running: Upload | None = None
        self.failed: dict[str, Upload] = {}
        self.stopping = False
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Takes up what a stopped server left, and begins."""
        for folder in (self.incoming, self.kept):
            with room_to_write(folder):
                folder.mkdir(exist_ok=True)
            sweep_partial(folder)
        for document in self.library.documents():
            if self.keeps(document.file) and not document.file.exists():
                self.library.delete(document.name)
        for file in sorted(self.incoming.glob(f"{'[0-9]' * STAMP_DIGITS}-*")):
            self.enqueue(file.name[STAMP_DIGITS + 1 :], file)
        self.thread = threading.Thread(target=self.work, name="intake", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Waits for the document that is being indexed; the others wait for the next start."""
        with self.lock:
            self.stopping = True
            self.lock.notify_all()
        if self.thread:
            self.thread.join()

    def keeps(self, file: Path | None) -> TypeGuard[Path]:
        """Whether an indexed file came as an upload."""
        return file is not None and file.parent == self.kept

    async def receive(self, name: str, body: AsyncIterator[bytes]) -> Upload:
        """Keeps an upload and puts it at the end of the queue.

        Raises:
            RefusedError: too many wait, or the bytes are not of the kind that the name says.
        """
        if len(self.waiting) >= self.capacity:
            sentence = f"{self.capacity} documents are already waiting to be indexed; try again later."
            raise RefusedError(503, "waiting", sentence, {"retry-after": "60"})
        partial = self.incoming / f".{os.urandom(8).hex()}{PARTIAL}"
        try:
            with room_to_write(partial), partial.open("xb") as file:
                first = b""
                async for chunk in body:
                    first += chunk[: FIRST_BYTES - len(first)]
                    await run_in_threadpool(file.write, chunk)
            check_kind(name, first)
            await run_in_threadpool(sync, partial)
            whole = self.incoming / f"{time.time_ns():0{STAMP_DIGITS}d}-{name}"
            partial.replace(whole)
            sync(self.incoming)
        finally:
            partial.unlink(missing_ok=True)
        return self.enqueue(name, whole)

    def enqueue(self, name: str, file: Path) -> Upload:
        with self.lock:
            self.failed.pop(name, None)
            if superseded := self.waiting.pop(name, None):
                superseded.unlink(missing_ok=True)
            self.waiting[name] = file
            self.lock.notify_all()
            return Upload(name, "waiting")

    def uploads(self) -> dict[str, Upload]:
        """What is not indexed yet, or could not be."""
        with self.lock:
            running = {self.running.name: self.running} if self.running else {}
            return self.failed | {name: Upload(name, "waiting") for name in self.waiting} | running

    def forget(self, name: str) -> bool:
        """Takes an upload out of the queue, or a failure off the list; whether there was one.

        Raises:
            RefusedError: it is being indexed right now.
        """
        with self.lock:
            if self.running and self.running.name == name:
                raise RefusedError(409, "busy", f"{name} is being indexed; delete it when indexing is done.")
            file = self.waiting.pop(name, None)
            if file:
                file.unlink(missing_ok=True)
            return bool(self.failed.pop(name, None) or file)

    def delete(self, name: str, file: Path | None) -> None:
        """Deletes a document from the index, and its file if it came as an upload."""
        if self.keeps(file):
            file.unlink(missing_ok=True)
            sync(self.kept)
        self.library.delete(name)

    def work(self) -> None:
        while upload := self.next():
            self.index(*upload)
            with self.lock:
                self.running = None

    def next(self) -> tuple[str, Path] | None:
        """Waits for the next upload; None to stop."""
        with self.lock:
            while not self.stopping:
                self.metrics.waiting.set(len(self.waiting))
                if self.waiting:
                    name = next(iter(self.waiting))
                    self.running = Upload(name, "indexing")
                    return name, self.waiting.pop(name)
                self.lock.wait()
        return None

    def index(self, name: str, source: Path) -> None:
        def progress(done: int, total: int) -> None:
            self.running = Upload(name, "indexing", done, total)

        problem = ""
        try:
            self.metrics.pages.inc(self.replaced(name, source, progress))
        except UserError as error:
            problem = str(error).replace(str(self.kept / name), name)
        except Exception:
            LOG.exception("%s could not be indexed", name)
            problem = f"{name} could not be indexed; the server's log says why."
        source.unlink(missing_ok=True)
        if problem:
            self.fail(name, problem)

    def replaced(self, name: str, source: Path, progress: Progress) -> int:
        """Indexes a file in place of what had its name; where that fails, what was there comes back."""
        file, before, link = (self.kept / one for one in (name, f".{name}.before{PARTIAL}", f".{name}{PARTIAL}"))
        if file.exists():
            os.link(file, before)
        os.link(source, link)
        link.replace(file)
        try:
            return self.library.add(file, name, progress)
        except Exception:
            if before.exists():
                before.replace(file)
                self.library.add(file, name, progress)
            else:
                self.delete(name, file)
            raise
        finally:
            before.unlink(missing_ok=True)

    def fail(self, name: str, problem: str) -> None:
        self.metrics.failed.inc()
        with self.lock:
            self.failed[name] = Upload(name, "failed", problem=problem)
            for oldest in list(self.failed)[:-REMEMBERED]:
                del self.failed[oldest]


def safe_name(given: str) -> str:
    """The file name that an upload is kept and indexed under.

    Raises:
        RefusedError: it is none, too long, hidden, or of a kind that cannot be indexed.
    """
    name = unicodedata.normalize("NFC", given)
    if "/" in name or "\\" in name or any(unicodedata.category(sign) in UNSEEN for sign in name):
        raise RefusedError(
            400, "name", "A document's name must not contain slashes or invisible characters; rename it."
        )
    if name.startswith((".", " ")) or len(name.encode()) > NAME_BYTES:
        sentence = f"A document's name must not begin with a dot or space or exceed {NAME_BYTES} bytes; rename it."
        raise RefusedError(400, "name", sentence)
    if not readable(Path(name)):
        raise RefusedError(
            415, "kind", f"{name!r} does not have the extension of a PDF or image ({named_kinds()}); convert it."
        )
    return name


def check_kind(name: str, first: bytes) -> None:
    """Raises:
    RefusedError: a file's first bytes are not those of the kind its name says.
    """
    ending = Path(name).suffix.lower()
    if not any(start in first[:window] for start, window in KINDS[ending]):
        raise RefusedError(415, "kind", f"{name} is not a valid {ending[1:].upper()} file; check the file.")
