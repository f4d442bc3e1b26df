"""Reads untrusted files in a separate process, which a crash or a limit ends alone.

`python -m collotype.search.ingest.worker DESCRIPTOR` takes JSON objects from that socket, first its settings, then
files to read, pages to draw and attached files to write, and answers with JSON objects, one a page; after one with
"pixels" come the bytes of its image. Nothing is pickled: the other side trusts these answers no more than the file.
"""

import hashlib
import json
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collotype.runtime import pdf, pdf_page
from collotype.runtime.errors import UserError
from collotype.runtime.terms import are_cut_anew
from collotype.runtime.texts import sound
from collotype.search.ingest.limits import PAGE_PX, Limits, ReadingSettings
from collotype.search.ingest.page_images import image_of, is_pdf, legible, num_pages
from collotype.search.ingest.sources import READING
from collotype.search.ingest.text_quality import believed, has_unread_images

if TYPE_CHECKING:
    from PIL import Image

    from collotype.runtime.ocr import Ocr


TERMS = b"marks are a part of words"
"""In the digest of a page whose terms are others than they were before: it is encoded again."""
TOO_MANY_PAGES, TOO_LONG, MEMORY = "too many pages", "too long for its width", "out of memory"
NO_TEXT, PART = "no text", "read in part"
TEXT_LAYER, OCR, BOTH = "text layer", "ocr", "both"
Words = list[pdf.Word]


class Worker:
    def __init__(self, to_parent: Connection, settings: ReadingSettings):
        self.to_parent, self.settings, self.limits = to_parent, settings, settings.limits
        self.ocr: Ocr | None = None

    def read(self, path: Path, first: int, digests: Mapping[str, str]) -> None:
        """Sends the pages from `first` on, each of them or why it is lost; of one whose digest is known, that it is
        unchanged."""
        try:
            with self.in_time():
                total = num_pages(path)
                attached = pdf_page.attachments(path, self.limits.attachments) if is_pdf(path) else []
        except (UserError, MemoryError) as error:
            self.send(**self.lost(error))
            return
        if total > self.limits.pages:
            self.send(
                event="lost",
                cause=TOO_MANY_PAGES,
                detail=f"it has {total:,}, more than the limit of {self.limits.pages:,}",
            )
            return
        self.send(event="opened", pages=total, attached=[sound(name) for name in attached])
        for page in range(first, total + 1):
            self.send(event="reading", page=page)
            try:
                self.page(path, page, digests.get(str(page), ""))
            except (UserError, MemoryError) as error:
                self.send(**self.lost(error), page=page)
        self.send(event="done")

    def draw(self, path: Path, page: int, longest_px: int) -> None:
        """Sends a page's image alone."""
        try:
            with self.in_time():
                picture = image_of(path, page, longest_px)
        except (UserError, MemoryError) as error:
            self.send(**self.lost(error))
            return
        self.send(event="drawn", size=picture.size, pixels=True)
        self.to_parent.send_bytes(picture.tobytes())

    def take_out(self, path: Path, attachment: int, to: Path) -> None:
        """Writes an attached file."""
        try:
            with self.in_time():
                content = pdf_page.attachment(path, attachment)
                if len(content) > self.limits.file_bytes:
                    raise pdf.PdfError(
                        "too large", f"it has {len(content):,} bytes, more than the limit of {self.limits.file_bytes:,}"
                    )
                to.write_bytes(content)
        except (UserError, MemoryError, OSError) as error:
            self.send(**self.lost(error))
            return
        self.send(event="taken out")

    def page(self, path: Path, page: int, known: str) -> None:
        with self.in_time():
            about, picture, to_read = self.looked_at(path, page)
        pixels = picture.tobytes() if picture else None
        content = hashlib.blake2b(json.dumps([about["size"], about["words"]]).encode(), digest_size=16)
        content.update(pixels or b"")
        if self.settings.looks_at == "words" and any(are_cut_anew(text) for text, *_ in about["words"]):
            content.update(TERMS)
        if about["label"]:
            content.update(f"label {about['label']}".encode())
        unread = []
        if to_read:
            try:
                ocr = self.with_ocr()
            except UserError as error:
                unread = [self.lost(error) | {"cause": NO_TEXT, "kept": bool(about["words"])}]
            else:
                with self.in_time(self.limits.ocr_s):
                    image, dpi = legible(path, page)
                    content.update(f"ocr {READING}".encode() + image.tobytes())
                    if content.hexdigest() != known:
                        unread = self.read_off(ocr, about, image, dpi)
        for one in unread:
            self.send(**one, page=page)
            if not one["kept"]:
                return
        if content.hexdigest() == known:
            self.send(event="unchanged", page=page)
            return
        sent = pixels if self.settings.looks_at == "picture" else None
        self.send(event="page", page=page, digest=content.hexdigest(), pixels=bool(sent), **about)
        if sent:
            self.to_parent.send_bytes(sent)

    def looked_at(self, path: Path, page: int) -> tuple[dict[str, Any], "Image.Image | None", bool]:
        """(size, words and label; the image, if the model looks at it or there are no words; is OCR to read it?)"""
        words: Words = []
        label, to_read = "", False
        if is_pdf(path):
            layer = pdf.words(path, page, self.limits.page_characters)
            words = believed(path, page, layer)
            size, label = pdf.rendered_size(path, page, PAGE_PX), pdf_page.label(path, page)
            to_read = len(words) < len(layer) or has_unread_images(path, page, words)
        picture = None
        if self.settings.looks_at == "picture" or not words:
            picture = image_of(path, page, PAGE_PX)
            size = picture.size
        if max(size) > self.limits.aspect * min(size):
            raise pdf.PdfError(
                TOO_LONG, f"{path}, page {page} is more than {self.limits.aspect} times as long as wide."
            )
        words = [(text, *rounded(where)) for text, *where in words]
        # RGB has several bands
        extrema: Any = picture.getextrema() if picture else ()
        blank = picture and all(low == high for low, high in extrema)
        to_read = self.settings.looks_at == "words" and not blank and (to_read or not words)
        about = {"size": size, "words": words, "words_from": TEXT_LAYER if words else "", "label": label}
        return about, picture, to_read

    def read_off(self, ocr: "Ocr", about: dict[str, Any], image: "Image.Image", dpi: float) -> list[dict[str, Any]]:
        """Adds the words on an image; what is to be told of it."""
        layer, until = about["words"], time.monotonic() + self.limits.ocr_s
        read = ocr.words(image, dpi, [box for _, box, *_ in layer], until)
        about["words"] = merged(layer, [(text, rounded(box)) for text, box in read])
        if read:
            about["words_from"] = BOTH if layer else OCR
        if time.monotonic() <= until:
            return []
        return [
            {"event": "lost", "cause": PART, "detail": f"OCR takes more than {self.limits.ocr_s:g} s", "kept": True}
        ]

    def with_ocr(self) -> "Ocr":
        """
        Raises:
            UserError: it is not installed.
        """
        if self.ocr is None:
            from collotype.runtime.ocr import Ocr

            self.ocr = Ocr(self.settings.threads)
        return self.ocr

    def lost(self, error: BaseException) -> dict[str, Any]:
        if isinstance(error, MemoryError):
            return {"event": "lost", "cause": MEMORY, "detail": f"more than {self.limits.memory_bytes >> 20:,} MiB"}
        return {"event": "lost", "cause": getattr(error, "cause", "cannot be read"), "detail": sound(str(error))}

    def send(self, **answer: Any) -> None:
        self.to_parent.send_bytes(json.dumps(answer).encode())

    @contextmanager
    def in_time(self, more_s: float = 0.0) -> Iterator[None]:
        """The alarm ends the process: no C library would hear of anything milder."""
        signal.setitimer(signal.ITIMER_REAL, self.limits.page_s + more_s)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def rounded(number: Any) -> Any:
    """Numbers in lists of any depth, to a thousandth of a pixel or so."""
    return round(number, 5) if isinstance(number, float) else [rounded(part) for part in number]


def merged(layer: Words, read: Words) -> Words:
    """Words of both from above to below, those of each in their order."""
    left, found = list(reversed(layer)), []
    for word in read:
        while left and middle(left[-1]) < middle(word):
            found.append(left.pop())
        found.append(word)
    return found + left[::-1]


def middle(word: pdf.Word) -> float:
    return word[1][1] + word[1][3]


def main(descriptor: str) -> None:
    # Ctrl-C is the parent's to hear
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    to_parent = Connection(int(descriptor))
    settings = json.loads(to_parent.recv_bytes())
    worker = Worker(to_parent, ReadingSettings(**{**settings, "limits": Limits(**settings["limits"])}))
    pdf.load_library()
    pdf.passwords[:] = worker.settings.passwords
    limit_memory(worker.limits.memory_bytes)
    worker.send(event="ready")
    try:
        while True:
            task = json.loads(to_parent.recv_bytes())
            if "draw" in task:
                worker.draw(Path(task["file"]), task["draw"], task["longest_px"])
            elif "attachment" in task:
                worker.take_out(Path(task["file"]), task["attachment"], Path(task["to"]))
            else:
                worker.read(Path(task["file"]), task["first"], task["digests"])
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
