"""What reads files that nobody has vouched for: a process of its own, which a crash or a limit ends alone.

`python -m collotype.search.ingest.worker DESCRIPTOR SETTINGS` takes JSON objects from that socket, a file to read or a
page to draw, and answers with JSON objects, one a page; after one with "pixels" come the bytes of its picture. Nothing
is pickled: the other side trusts these answers no more than the file.
"""

import hashlib
import json
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collotype.runtime import pdf
from collotype.runtime.errors import UserError
from collotype.runtime.pictures import decode, opaque
from collotype.runtime.terms import are_cut_anew
from collotype.search.ingest.limits import PAGE_PX, Limits
from collotype.search.ingest.sources import PDF

if TYPE_CHECKING:
    from PIL import Image

TERMS = b"marks are a part of words"
"""In the digest of a page whose terms are others than they were before: it is encoded again."""
TOO_MANY_PAGES, TOO_LONG, MEMORY = "too many pages", "too long for its width", "out of memory"


class Worker:
    """
    Args:
        looks_at: "picture" sends every page's picture, "words" only that of a page without.
    """

    def __init__(self, to_parent: Connection, limits: Limits, looks_at: str):
        self.to_parent, self.limits, self.looks_at = to_parent, limits, looks_at

    def read(self, path: Path, first: int) -> None:
        """Sends the pages from `first` on, each of them or why it is lost."""
        try:
            with self.in_time():
                total = pdf.num_pages(path) if path.suffix.lower() == PDF else 1
        except (UserError, MemoryError) as error:
            self.send(**self.lost(error))
            return
        if total > self.limits.pages:
            self.send(event="lost", cause=TOO_MANY_PAGES, detail=f"it has {total:,}, at most {self.limits.pages:,}")
            return
        self.send(event="opened", pages=total)
        for page in range(first, total + 1):
            self.send(event="reading", page=page)
            try:
                with self.in_time():
                    answer, picture = self.page(path, page)
                self.send(**answer)
                if picture is not None:
                    self.to_parent.send_bytes(picture)
            except (UserError, MemoryError) as error:
                self.send(**self.lost(error), page=page)
        self.send(event="done")

    def draw(self, path: Path, page: int, longest_px: int) -> None:
        """Sends a page's picture alone."""
        try:
            with self.in_time():
                picture = picture_of(path, page, longest_px)
        except (UserError, MemoryError) as error:
            self.send(**self.lost(error))
            return
        self.send(event="drawn", size=picture.size, pixels=True)
        self.to_parent.send_bytes(picture.tobytes())

    def page(self, path: Path, page: int) -> tuple[dict[str, Any], bytes | None]:
        words: list[pdf.Word] = []
        picture: Image.Image | None = None
        if path.suffix.lower() == PDF:
            words = pdf.words(path, page, self.limits.page_characters)
            size = pdf.rendered_size(path, page, PAGE_PX)
        if self.looks_at == "picture" or not words:
            picture = picture_of(path, page, PAGE_PX)
            size = picture.size
        if max(size) > self.limits.aspect * min(size):
            raise pdf.PdfError(
                TOO_LONG, f"{path}, page {page} is more than {self.limits.aspect} times as long as wide."
            )
        words = [(text, *rounded(where)) for text, *where in words]
        content = hashlib.blake2b(json.dumps([size, words]).encode(), digest_size=16)
        pixels = picture.tobytes() if picture else None
        content.update(pixels or b"")
        if self.looks_at == "words" and any(are_cut_anew(text) for text, *_ in words):
            content.update(TERMS)
        about = {"page": page, "size": size, "words": words, "digest": content.hexdigest(), "pixels": bool(pixels)}
        return {"event": "page", **about}, pixels

    def lost(self, error: BaseException) -> dict[str, Any]:
        if isinstance(error, MemoryError):
            return {"event": "lost", "cause": MEMORY, "detail": f"more than {self.limits.memory_bytes >> 20:,} MiB"}
        return {"event": "lost", "cause": getattr(error, "cause", "cannot be read"), "detail": str(error)}

    def send(self, **answer: Any) -> None:
        self.to_parent.send_bytes(json.dumps(answer).encode())

    @contextmanager
    def in_time(self) -> Iterator[None]:
        """The alarm ends the process: no C library would hear of anything milder."""
        signal.setitimer(signal.ITIMER_REAL, self.limits.page_s)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def rounded(number: Any) -> Any:
    """Numbers in lists of any depth, to a thousandth of a pixel or so."""
    return round(number, 5) if isinstance(number, float) else [rounded(part) for part in number]


def picture_of(path: Path, page: int, longest_px: int) -> "Image.Image":
    """A page in RGB; a picture file is made smaller and never larger."""
    if path.suffix.lower() == PDF:
        return pdf.render(path, page, longest_px)
    picture = opaque(decode(path, str(path)))
    picture.thumbnail((longest_px, longest_px))
    return picture


def main(descriptor: str, limits: str) -> None:
    # Ctrl-C is the parent's to hear
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    to_parent, settings = Connection(int(descriptor)), json.loads(limits)
    worker = Worker(to_parent, Limits(**settings["limits"]), settings["looks_at"])
    pdf.load_library()
    limit_memory(worker.limits.memory_bytes)
    worker.send(event="ready")
    try:
        while True:
            task = json.loads(to_parent.recv_bytes())
            if "draw" in task:
                worker.draw(Path(task["file"]), task["draw"], task["longest_px"])
            else:
                worker.read(Path(task["file"]), task["first"])
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent has no more work, or is gone


def limit_memory(more: int) -> None:
    """Of this process, to `more` bytes above what it has now, where the system tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(*sys.argv[1:])
