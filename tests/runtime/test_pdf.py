"""PDF pages, and PDFs that are none."""

from pathlib import Path

import pypdfium2
import pytest

from collotype.families.retriever.benchmarks.slides import FOLDER
from collotype.runtime import pdf
from collotype.runtime.errors import UserError

ENGLISH = FOLDER / "packaging-tutorial.en.pdf"


def test_a_page_is_a_picture_a_text_and_a_place_in_the_outline() -> None:
    document = pdf.open_pdf(ENGLISH)
    picture = pdf.render(document, 6, 640)
    assert picture.size == pdf.rendered_size(document, 6, 640) == (640, 480) and picture.mode == "RGB"
    assert len(picture.getcolors(640 * 480)) > 50, "something is drawn"
    assert pdf.text(document, 6).startswith("The Deb package format\n") and "\r" not in pdf.text(document, 6)
    assert (0, "Introduction", 3) in pdf.outline(document) and (1, "The Deb package format", 6) in pdf.outline(document)


@pytest.mark.parametrize("longest_px", [33, 100, 771])
def test_the_size_is_known_before_the_picture(longest_px: int, tmp_path: Path) -> None:
    with pypdfium2.PdfDocument.new() as new:
        new.new_page(210.3, 297.7)
        new.save(tmp_path / "a4.pdf")
    document = pdf.open_pdf(tmp_path / "a4.pdf")
    assert pdf.render(document, 0, longest_px).size == pdf.rendered_size(document, 0, longest_px)
    assert pdf.text(document, 0) == "" and pdf.outline(document) == []


def test_what_is_no_pdf_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no PDF"):
        pdf.open_pdf(tmp_path / "none.pdf")
    (tmp_path / "broken.pdf").write_bytes(ENGLISH.read_bytes()[:900])
    with pytest.raises(UserError, match=r"broken\.pdf cannot be read"):
        pdf.open_pdf(tmp_path / "broken.pdf")
    with pypdfium2.PdfDocument.new() as empty:
        empty.save(tmp_path / "empty.pdf")
    with pytest.raises(UserError, match=r"empty\.pdf"):
        pdf.open_pdf(tmp_path / "empty.pdf")


def test_an_encrypted_pdf_is_named(tmp_path: Path) -> None:
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>",
        b"<</Filter/Standard/V 1/R 2/P -1/O<" + b"41" * 32 + b">/U<" + b"42" * 32 + b">>>",
    ]
    content, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj%sendobj\n" % (number, body)
    table = b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer<</Size 5/Root 1 0 R/Encrypt 4 0 R/ID[<00><00>]>>\nstartxref\n%d\n%%%%EOF" % len(content)
    (tmp_path / "locked.pdf").write_bytes(content + table + trailer)
    with pytest.raises(UserError, match=r"locked\.pdf is encrypted and wants a password"):
        pdf.open_pdf(tmp_path / "locked.pdf")
