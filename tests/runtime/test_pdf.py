"""PDFs as users have them: sound, encrypted, empty, broken."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from collotype.runtime import pdf
from collotype.runtime.errors import UserError
from tests.small_pdf import small_pdf


def test_pages_text_and_outline(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(small_pdf([["Hello world", "of pages"], ["Second"]], [("The second part", 2)]))
    assert pdf.num_pages(file) == 2
    assert [pdf.text(file, page).split() for page in (1, 2)] == [["Hello", "world", "of", "pages"], ["Second"]]
    assert pdf.outline(file) == [(0, "The second part", 2)]


def test_a_page_has_ink_on_white_paper_and_the_longest_edge_that_was_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(small_pdf([["Hello"], []]))
    page, blank = pdf.render(file, 1, 600), pdf.render(file, 2, 600)
    assert page.size == pdf.rendered_size(file, 1, 600) == (600, 400) and page.mode == "RGB"
    assert page.getpixel((599, 399)) == (255, 255, 255) and page.convert("L").getextrema()[0] < 50
    assert blank.convert("L").getextrema() == (255, 255)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (small_pdf([["x"]], encrypted=True), "is encrypted"),
        (small_pdf([]), "is not a complete PDF with pages"),
        (b"", "is not a complete PDF"),
        (b"%PDF-1.4 and then nothing", "is not a complete PDF"),
        (None, "There is no PDF"),
    ],
    ids=["encrypted", "no pages", "empty", "broken", "missing"],
)
def test_what_cannot_be_read_is_named(content: bytes | None, words: str, tmp_path: Path) -> None:
    # an encrypted one first: the library remembers the reason of the last failure
    (tmp_path / "before.pdf").write_bytes(small_pdf([["x"]], encrypted=True))
    with pytest.raises(UserError, match="encrypted"):
        pdf.num_pages(tmp_path / "before.pdf")
    file = tmp_path / "spoiled.pdf"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        pdf.render(file, 1, 100)
    assert str(file) in str(error.value)


def test_a_page_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(small_pdf([["x"]]))
    for page in (0, 2):
        with pytest.raises(UserError, match=f"has no page {page}; it has 1 pages, counted from 1"):
            pdf.render(file, page, 100)


BOXES = {
    "whole": "/MediaBox [0 0 300 200]",
    "not at the origin": "/MediaBox [-50 -10 250 190]",
    "cropped": "/MediaBox [0 0 300 200] /CropBox [10 100 200 190]",
    "scaled": "/MediaBox [0 0 300 200] /UserUnit 2",
}


@pytest.mark.parametrize("turned", [0, 90, 180, 270, -90])
@pytest.mark.parametrize("keys", BOXES.values(), ids=BOXES)
def test_a_words_box_is_where_its_ink_is(keys: str, turned: int, tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(small_pdf([["Hippo"]], page_keys=f"{keys} /Rotate {turned}"))
    ((word, box),) = pdf.words(file, 1)
    image = pdf.render(file, 1, 800)
    down, across = np.nonzero(np.asarray(image.convert("L")) < 128)
    ink = (across.min(), down.min(), across.max() + 1, down.max() + 1)
    assert word == "Hippo"
    assert np.array(box) * (image.size * 2) == pytest.approx(ink, abs=3)


def test_words_are_what_stands_between_spaces_and_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(small_pdf([["one two-three", "x" * 3 + " 4.5"], []]))
    assert [word for word, _ in pdf.words(file, 1)] == ["one", "two-three", "xxx", "4.5"]
    tops = [box[1] for _, box in pdf.words(file, 1)]
    assert tops[0] < tops[2] and all(0 <= side <= 1 for _, box in pdf.words(file, 1) for side in box)
    assert pdf.words(file, 2) == []
    file.write_bytes(small_pdf([["shown", "hidden"]], page_keys="/MediaBox [0 0 300 200] /CropBox [0 165 300 200]"))
    assert [word for word, _ in pdf.words(file, 1)] == ["shown"]


def test_a_page_of_too_much_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(small_pdf([["x" * 50]]))
    with pytest.raises(UserError, match=r"page 1 has 50 characters, more than the limit of 49"):
        pdf.words(file, 1, max_characters=49)


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    for lines in (["before"], ["after it"]):
        file.write_bytes(small_pdf([lines]))
        assert pdf.text(file, 1).strip() == lines[0]


def rendered(file: Path, page: int) -> bytes:
    return pdf.render(file, page, 60).tobytes()


def test_forked_processes_read_one_file_at_the_same_time(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(small_pdf([[f"page {number}"] * 5 for number in range(1, 21)]))
    wanted = [(file, page) for page in range(1, 21)] * 5
    alone = [rendered(*one) for one in wanted]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap(rendered, wanted, chunksize=1) == alone
