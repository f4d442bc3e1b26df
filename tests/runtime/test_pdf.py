"""PDFs as users have them: sound, encrypted, empty, broken."""

import multiprocessing
from pathlib import Path

import pytest
from tests.small_pdf import small_pdf

from collotype.runtime import pdf
from collotype.runtime.errors import UserError


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
        (small_pdf([]), "is no whole PDF with pages"),
        (b"", "is no whole PDF"),
        (b"%PDF-1.4 and then nothing", "is no whole PDF"),
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
        with pytest.raises(UserError, match=f"has no page {page}; it has 1, counted from 1"):
            pdf.render(file, page, 100)


def rendered(file: Path, page: int) -> bytes:
    return pdf.render(file, page, 60).tobytes()


def test_forked_processes_read_one_file_at_the_same_time(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(small_pdf([[f"page {number}"] * 5 for number in range(1, 21)]))
    wanted = [(file, page) for page in range(1, 21)] * 5
    alone = [rendered(*one) for one in wanted]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap(rendered, wanted, chunksize=1) == alone
