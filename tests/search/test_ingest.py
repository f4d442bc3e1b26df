"""Files as users have them, into an index: what changed and nothing else, whatever is wrong with a file."""

import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from collotype.runtime.errors import UserError
from collotype.search.index import Index
from collotype.search.ingest import Limits, SourceLedger, ingest
from collotype.search.ingest.rendering import Drawer
from collotype.search.pages import EncodedPage, Page
from tests.search import fuzz
from tests.search.word_encoder import WordEncoder
from tests.small_pdf import small_pdf


class Counting(WordEncoder):
    """Remembers which pages it was shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def encode_pages(self, pages: Sequence[Page]) -> list[EncodedPage]:
        self.shown += [page.id for page in pages]
        return super().encode_pages(pages)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    made_by = {"encoder_name": WordEncoder.name, "identity": WordEncoder.identity, "dim": WordEncoder.dim}
    return Index.create(tmp_path / "index", **made_by, interaction="late")


def pages_of(index: Index) -> dict[str, list[int]]:
    return {document.name: list(index.pages_of(document.name)) for document in index.documents()}


def test_only_what_changed_is_encoded_and_what_is_gone_is_deleted(index: Index, tmp_path: Path) -> None:
    files = tmp_path / "files"
    (files / "below").mkdir(parents=True)
    (files / ".hidden").mkdir()
    (files / ".hidden" / "c.pdf").write_bytes(small_pdf([["Unseen"]]))
    (files / "notes.txt").write_text("no page")
    (files / "a.pdf").write_bytes(small_pdf([["One"], ["Two"], []]))
    (files / "below" / "B.PDF").write_bytes(small_pdf([["Three"]]))
    encoder = Counting()
    first = ingest([files], index, encoder)
    assert (first.documents, first.added, first.unchanged, first.removed, first.skipped) == (2, 4, 0, 0, [])
    assert pages_of(index) == {"a.pdf": [1, 2, 3], "below/B.PDF": [1]}
    (hit,) = index.search(encoder.encode_queries(["Three"])[0], 1)
    assert (hit.link, hit.text) == ("below/B.PDF#page=1", "Three")
    assert SourceLedger(index.folder).file("below/B.PDF") == files / "below" / "B.PDF"

    encoder.shown.clear()
    again = ingest([files], index, encoder)
    assert (again.added, again.unchanged, encoder.shown) == (0, 4, [])

    (files / "a.pdf").write_bytes(small_pdf([["One"], ["Changed"]]))
    changed = ingest([files], index, encoder)
    assert (changed.added, changed.unchanged, changed.removed) == (1, 2, 1)
    assert encoder.shown == ["a.pdf#page=2"]

    (files / "a.pdf").unlink()
    (tmp_path / "other.pdf").write_bytes(small_pdf([["Elsewhere"]]))
    assert ingest([tmp_path / "other.pdf"], index, encoder).removed == 0, "its folder was not named"
    assert ingest([files], index, encoder).removed == 2
    assert pages_of(index) == {"below/B.PDF": [1], "other.pdf": [1]}

    index.delete("other.pdf")
    assert ingest([tmp_path / "other.pdf"], index, encoder).added == 1, "the index decides what it has"


def test_documents_of_one_name_are_told_apart_and_keep_their_names(index: Index, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.pdf").write_bytes(small_pdf([[folder]]))
    ingest([tmp_path / "x"], index, WordEncoder())
    ingest([tmp_path / "y"], index, WordEncoder())
    assert pages_of(index) == {"a.pdf": [1], "y/a.pdf": [1]}
    assert ingest([tmp_path / "y", tmp_path / "x"], index, WordEncoder()).unchanged == 2
    (tmp_path / "x").rename(tmp_path / "moved")
    encoder = Counting()
    assert ingest([tmp_path / "moved"], index, encoder).unchanged == 1 and encoder.shown == []
    assert SourceLedger(index.folder).file("a.pdf") == tmp_path / "moved" / "a.pdf"


def test_words_are_read_off_images_that_have_no_text(index: Index, tmp_path: Path) -> None:
    image = Image.new("RGB", (400, 160), "white")
    ImageDraw.Draw(image).text((20, 20), "HELLO   WORLD", "black", font_size=36)
    image.save(tmp_path / "scan.png")
    ingest([tmp_path / "scan.png"], index, WordEncoder())
    page = index.page("scan.png", 1)
    assert [word.text for word in page.words] == ["HELLO", "WORLD"]
    (left, top, right, bottom), (after, *_) = (word.box for word in page.words)
    assert left * 400 == pytest.approx(20, abs=12) and 0 < top < bottom < 0.5 and right <= after


def test_without_ocr_a_scan_is_skipped(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "rapidocr.py").write_text("raise ImportError('gone', name='rapidocr')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    Image.linear_gradient("L").save(tmp_path / "scan.png")
    (tmp_path / "a.pdf").write_bytes(small_pdf([["One"], []]))
    report = ingest([tmp_path / "scan.png", tmp_path / "a.pdf"], index, WordEncoder())
    assert [(one.document, one.cause) for one in report.skipped] == [("scan.png", "no text")]
    assert "pip install 'collotype[ocr]'" in report.skipped[0].detail
    assert pages_of(index) == {"a.pdf": [1, 2]}
    (tmp_path / "site" / "rapidocr.py").unlink()
    again = ingest([tmp_path / "scan.png", tmp_path / "a.pdf"], index, WordEncoder())
    assert (again.added, again.unchanged, again.skipped) == (1, 2, []), "it is tried again"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    """A sound header before next to nothing."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


BAD = {
    "encrypted.pdf": (small_pdf([["x"]], encrypted=True), "encrypted"),
    "empty.pdf": (b"", "damaged, or no PDF"),
    "no pages.pdf": (small_pdf([]), "damaged, or no PDF"),
    "words.pdf": (b"no PDF at all", "damaged, or no PDF"),
    "many.pdf": (small_pdf([["x"]] * 31), "too many pages"),
    "much.pdf": (small_pdf([["x" * 120] * 10]), "too much text"),
    "long.pdf": (small_pdf([["x"]], page_keys="/MediaBox [0 0 14000 20]"), "too long for its width"),
    "large.pdf": (small_pdf([["x"]]) + b"\0" * 200_000, "too large"),
    "bomb.png": (png_of(60_000, 60_000), "cannot be read"),
    "cut.png": (png_of(200, 200), "cannot be read"),
    "words.jpg": (b"no image at all", "cannot be read"),
}


def test_bad_files_are_named_by_cause_and_the_others_indexed(index: Index, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for name, (content, _) in BAD.items():
        (files / name).write_bytes(content)
    (files / "good.pdf").write_bytes(small_pdf([["Good"]]))
    (files / "vast.pdf").write_bytes(small_pdf([["Vast"]], page_keys="/MediaBox [0 0 1400000 1400000]"))
    report = ingest(
        [files], index, WordEncoder(), limits=Limits(pages=30, page_characters=1000, file_bytes=150_000), workers=1
    )
    assert {one.document: one.cause for one in report.skipped} == {name: cause for name, (_, cause) in BAD.items()}
    assert all(one.detail for one in report.skipped) and sum(report.causes().values()) == len(BAD)
    assert pages_of(index) == {"good.pdf": [1], "vast.pdf": [1]}


SPOILED = """
import os, time
from collotype.runtime import pdf
read = pdf.words
def words(path, page, limit):
    found = read(path, page, limit)
    texts = [text for text, _ in found]
    if "crash" in texts:
        os.abort()
    if "hang" in texts:
        time.sleep(60)
    if "fill" in texts:
        bytearray(2**31)
    return found
pdf.words = words
"""
"""Run by every worker, in place of a PDF that makes the library do such things."""


@pytest.fixture
def spoiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SPOILED)
    monkeypatch.syspath_prepend(tmp_path / "site")


def test_a_page_that_ends_its_reader_costs_that_page(spoiled: None, index: Index, tmp_path: Path) -> None:
    texts = ["one", "crash", "three", "hang", "five", "fill", "seven"]
    (tmp_path / "a.pdf").write_bytes(small_pdf([[text] for text in texts]))
    (tmp_path / "b.pdf").write_bytes(small_pdf([["crash"]] * 5))
    (tmp_path / "c.pdf").write_bytes(small_pdf([["after them"]]))
    sources = [tmp_path / f"{name}.pdf" for name in "abc"]
    report = ingest(sources, index, WordEncoder(), limits=Limits(page_s=1.0, memory_bytes=2**30), workers=1)
    assert pages_of(index) == {"a.pdf": [1, 3, 5, 7], "c.pdf": [1]}
    lost = {(one.document, one.page): one.cause for one in report.skipped}
    assert lost == {
        ("a.pdf", 2): "crashed the reader",
        ("a.pdf", 4): "out of time",
        ("a.pdf", 6): "out of memory",
        **{("b.pdf", page): "crashed the reader" for page in (1, 2, 3)},
        ("b.pdf", 0): "given up",
    }


def test_what_cannot_be_drawn_leaves_its_caller_standing(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(small_pdf([["Hello"]]))
    (tmp_path / "b.pdf").write_bytes(b"nothing")
    drawer = Drawer()
    assert drawer.draw(tmp_path / "a.pdf", 1, 150).size == (150, 100)
    for file, page, words in (
        ("a.pdf", 2, "has no page 2"),
        ("b.pdf", 1, "not a complete PDF"),
        ("c.pdf", 1, "There is no"),
    ):
        with pytest.raises(UserError, match=words):
            drawer.draw(tmp_path / file, page, 150)
    drawer.worker.kill()
    with pytest.raises(UserError, match="cannot be drawn"):
        drawer.draw(tmp_path / "a.pdf", 1, 150)
    assert drawer.draw(tmp_path / "a.pdf", 1, 150).size == (150, 100)
    drawer.close()


def test_what_a_model_refuses_is_skipped(index: Index, tmp_path: Path) -> None:
    class Choosy(WordEncoder):
        def encode_pages(self, pages: Sequence[Page]) -> list[EncodedPage]:
            if any(page.number == 2 for page in pages):
                raise UserError("Not this one.")
            return super().encode_pages(pages)

    (tmp_path / "a.pdf").write_bytes(small_pdf([["One"], ["Two"], ["Three"]]))
    report = ingest([tmp_path / "a.pdf"], index, Choosy())
    assert pages_of(index) == {"a.pdf": [1, 3]}
    assert [(one.page, one.detail) for one in report.skipped] == [(2, "Not this one.")]


def test_stopped_it_goes_on(index: Index, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(small_pdf([[f"Page {number}"] for number in range(1, 101)]))
    encoder = Counting()

    def stop(what: str, done: int, total: int) -> None:
        if done >= 80:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest([tmp_path / "a.pdf"], index, encoder, progress=stop)
    written = pages_of(index)["a.pdf"]
    assert len(written) == 64
    encoder.shown.clear()
    report = ingest([tmp_path / "a.pdf"], index, encoder)
    assert (report.added, report.unchanged) == (36, 64) and len(encoder.shown) == 36
    assert pages_of(index) == {"a.pdf": list(range(1, 101))}


def test_killed_it_goes_on(index: Index, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(small_pdf([[f"Page {number}"] for number in range(1, 201)]))
    code = """
import sys, time
from tests.search.word_encoder import WordEncoder
from collotype.search.index import Index
from collotype.search.ingest import ingest
ingest([sys.argv[1]], Index.open(sys.argv[2]), WordEncoder(), progress=lambda what, done, total: time.sleep(0.2))
"""
    command = [sys.executable, "-c", code, tmp_path / "a.pdf", index.folder]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    until = time.monotonic() + 60
    while len(index) == 0 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    written = len(index)
    assert 0 < written < 200
    report = ingest([tmp_path / "a.pdf"], index, WordEncoder())
    assert report.unchanged == written and pages_of(index) == {"a.pdf": list(range(1, 201))}


def test_spoiled_files_harm_nothing(tmp_path: Path) -> None:
    """`python -m tests.search.fuzz` does it with as many as one likes."""
    before = sorted(os.listdir(tmp_path))
    report, index = fuzz.run(tmp_path / "run", 40, small=True)
    assert list(index.pages_of("sound.pdf")) == [1, 2]
    lost, indexed = {one.document for one in report.skipped}, {document.name for document in index.documents()}
    assert lost | indexed == set(os.listdir(tmp_path / "run" / "files")) and lost and len(indexed) > 1
    assert sorted(os.listdir(tmp_path)) == [*before, "run"]
    assert sorted(os.listdir(tmp_path / "run")) == ["files", "index"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, "There is no file or folder"),
        (lambda folder: folder.mkdir(), "There is no PDF and no image in"),
        (lambda folder: folder.write_text("x"), "is neither a PDF nor an image"),
    ],
    ids=["missing", "empty folder", "another kind"],
)
def test_a_source_without_pages_is_named(
    make: Callable[[Path], None], words: str, index: Index, tmp_path: Path
) -> None:
    make(tmp_path / "place")
    with pytest.raises(UserError, match=words):
        ingest([tmp_path / "place"], index, WordEncoder())


def test_another_encoders_index_is_refused(index: Index, tmp_path: Path) -> None:
    class Other(WordEncoder):
        identity = "other"

    (tmp_path / "a.pdf").write_bytes(small_pdf([["One"]]))
    with pytest.raises(UserError, match=r"was made by the same words .* index the documents again"):
        ingest([tmp_path / "a.pdf"], index, Other())
    assert len(index) == 0
