"""What real producers write, read as a person reads it: files of Chromium, cairo and pango, LibreOffice, reportlab."""

from pathlib import Path
from unicodedata import normalize

import numpy as np
import pikepdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collotype.runtime import pdf
from collotype.runtime.reading_order import TextLine, are_apart, logical, parallel
from collotype.runtime.text_layer import Characters, letters_of_ligatures
from tests.small_pdf import small_pdf

FILES = Path(__file__).parent / "pdfs"


def lines(name: str) -> list[str]:
    return pdf.text(FILES / name, 1).splitlines()


ARABIC = "عقد الإيجار بين المالك والمستأجر لمدة سنة 2024 (ملحق 3.5) كِتَابٌ مُدَرِّسٌ، للمزيد COVID-19"
HEBREW = 'שלום עולם, חוזה שכירות בין הצדדים (2024) בִּרְאשִׁית בָּרָא ב-15.3 תל-אביב צה"ל API גרסה.'


@pytest.mark.parametrize("producer", ["chromium", "pango"])
def test_right_to_left_lines_are_in_reading_order_whoever_wrote_them(producer: str) -> None:
    read = normalize("NFC", " ".join(lines(f"right-to-left-{producer}.pdf")))
    # numbers, brackets, vowel points and foreign words included
    assert normalize("NFC", ARABIC) in read and normalize("NFC", HEBREW) in read
    # the joiner within a word is no glyph
    assert "کتابخانهٔ ملی میخواهم ۱۲۳۴ ایران" in read


def test_a_right_to_left_word_in_a_line_of_another_direction() -> None:
    assert "English with עברית inside and العربية too." in lines("right-to-left-chromium.pdf")


def test_ligatures_and_pieces_of_words_are_words_again() -> None:
    assert lines("cairo-arabic.pdf") == ["عقد الإيجار بين المالك والمستأجر لمدة سنة."]


def test_lines_that_run_other_ways_are_not_mixed() -> None:
    read = lines("apart-chromium.pdf")
    assert read[-2:] == ["side שלום עולם", "upside שלום עולם"]


def test_letter_spaced_headings_are_words_and_letters_in_a_row_are_not() -> None:
    read = lines("apart-chromium.pdf")
    assert read[0] == "ANNUAL REPORT" and read[1] == "a b c d e is a plain line of letters"
    assert "図書館" in read


def test_marks_stand_at_their_letters() -> None:
    """LibreOffice's Thai has a space before a mark for PDFium."""
    read = pdf.text(FILES / "scripts-libreoffice.pdf", 2).splitlines()
    assert read[1:] == ["हिन्दी में दिन दान दीन नेटवर्क किताब", "ภาษาไทย ที่นี่ น้ำ"]


def spelled_out(*spans: tuple[str, str]) -> bytes:
    """A content stream of (text that the file spells out, what it draws for it)."""
    marked = "".join(
        f"/Span << /ActualText <FEFF{text.encode('utf-16-be').hex()}> >> BDC {drawn} EMC\n" for text, drawn in spans
    )
    return f"BT /F1 12 Tf 20 100 Td {marked} ET".encode()


def drawn_by(tmp_path: Path, content: bytes) -> list[pdf.Word]:
    file = tmp_path / "a.pdf"
    file.write_bytes(small_pdf([[]]))
    with pikepdf.open(file, allow_overwriting_input=True) as document:
        document.pages[0].contents_add(content)
        document.save(file)
    return pdf.words(file, 1)


def test_a_span_that_the_file_spells_out_is_as_wide_as_all_its_glyphs(tmp_path: Path) -> None:
    """Chromium's Hindi: PDFium gives the whole text the place of the first glyph, and a space follows."""
    glyphs = "(W) Tj 12 0 Td (W) Tj 12 0 Td"
    words = drawn_by(tmp_path, spelled_out(("रि", glyphs), ("पा", glyphs), ("क", "(W) Tj 36 0 Td"), ("ल", "(W) Tj")))
    assert [word[0] for word in words] == ["रिपाक", "ल"]
    left, right = words[0][1][0] * 300, words[0][1][2] * 300
    assert left == pytest.approx(20, abs=1) and right == pytest.approx(68 + 11.3, abs=1)


def test_a_span_is_read_once_though_its_glyphs_are_met_in_two_places(tmp_path: Path) -> None:
    """Chromium's Thai: the vowel above is drawn after the next letter."""
    vowel = "24 0 Td (-) Tj -24 0 Td"
    content = spelled_out(("จี", "(W) Tj " + vowel), ("เ", "12 0 Td (W) Tj"), ("ร", "24 0 Td (W) Tj"))
    assert "".join(word[0] for word in drawn_by(tmp_path, content)).count("จี") == 1


@pytest.mark.parametrize("name", ["hindi-libreoffice", "malayalam-pango"])
def test_spaces_are_where_there_is_room(name: str) -> None:
    """LibreOffice writes a justified line's spaces after its letters; PDFium sees none after pango's marks."""
    read = pdf.text(FILES / f"{name}.pdf", 1).split()
    assert read == (FILES / f"{name}.txt").read_text(encoding="utf-8").split()


def test_marks_drawn_after_the_next_letter_stand_at_their_own() -> None:
    read = pdf.text(FILES / "khmer-libreoffice.pdf", 1).replace("\u200b", "").split()
    assert {"នីការ៉ាហ្គ័រ", "ប៉ារ៉ាហ្គាយ", "សេរ៉ាឡេអូន", "អារ៉ាប់រួម"} <= set(read)


@pytest.mark.parametrize("name", ["hindi", "thai", "burmese", "tamil", "slanted"])
def test_browsers_words_are_whole(name: str) -> None:
    read = lines(f"{name}-chromium.pdf")
    assert read == (FILES / f"{name}-chromium.txt").read_text(encoding="utf-8").splitlines()


def test_columns_are_runs() -> None:
    first, *_ = pdf.words(FILES / "vert.pdf", 1)
    text, (left, top, right, bottom), characters = first
    assert text == "図書館の年次報告書。古い本は地下室" and bottom - top > 5 * (right - left)
    tops = [box[1] for box in characters]
    assert tops == sorted(tops) and max(box[3] - box[1] for box in characters) < 0.03


def test_characters_beyond_two_bytes_are_whole() -> None:
    words = [word for word, *_ in pdf.words(FILES / "math.pdf", 1)]
    assert words[:3] == ["The", "𝐄𝐧𝐞𝐫𝐠𝐲", "budget"] and "𝛼" in words


def test_a_word_has_its_characters_boxes_where_they_are_not_spread_evenly() -> None:
    _, box, characters = pdf.words(FILES / "jp-rot90.pdf", 1)[0]
    middles = np.array(characters)[:, [1, 3]].mean(axis=1)
    assert len(characters) == 27 and (np.diff(middles) > 0).all() and box[3] - box[1] > 0.5
    compound = next(word for word in pdf.words(FILES / "sideways.pdf", 1) if "/" in word[0])
    assert len(compound) == 3 and len(compound[2]) == len(compound[0])
    # upwards on the page, so from the bottom of its image to the top
    assert (np.diff([own[1] for own in compound[2]]) < 0).all()


def test_a_line_from_left_to_right_needs_no_boxes_of_characters(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(small_pdf([["debian/rules, well-known"]]))
    assert [len(word) for word in pdf.words(file, 1)] == [2, 2]


def test_words_and_text_are_one_reading() -> None:
    for name in ("rotate-90.pdf", "vert.pdf", "right-to-left-pango.pdf", "form-and-comment.pdf"):
        assert pdf.text(FILES / name, 1).split() == [word for word, *_ in pdf.words(FILES / name, 1)]
    assert len(lines("rotate-90.pdf")) == 24


@given(st.lists(st.sampled_from("אבגדה12abc .,()"), max_size=40).map("".join))
def test_every_character_of_a_line_is_read_once(line: str) -> None:
    assert sorted(logical(line)) == list(range(len(line)))


@pytest.mark.parametrize(
    ("shown", "read"),
    [
        ("םולש", "שלום"),
        ("3.51 םולש", "שלום 3.51"),
        ("IPA לש הסרג", "גרסה של IPA"),
        ("see also םלוע םולש in here", "see also שלום עולם in here"),
        ("1984-בפ", "פב-1984"),
    ],
)
def test_what_is_shown_from_left_to_right_as_it_is_read(shown: str, read: str) -> None:
    assert "".join(shown[place] for place in logical(shown)) == read


def test_a_stroke_that_stretches_a_word_is_of_its_line_however_wide() -> None:
    text = "چـاپ"
    characters = Characters(text, np.zeros((4, 4)), np.arange(4), None)
    characters.heading = lambda place: np.array([30.0 if text[place] == "ـ" else 12.0, 0.0])
    (way, words), *others = parallel(characters, [[[0], [1], [2, 3]]])
    assert (way, words, others) == ((12.0, 0.0), [[0], [1], [2, 3]], [])


def test_tight_words_are_apart_where_the_file_has_a_space() -> None:
    ends, starts = np.array([10.0, 21.0, 32.0]), np.array([11.0, 22.0, 34.0])
    line = TextLine(*[np.zeros(0)] * 3, baseline=0, size=10, way=(10, 0), spaces=np.array([22.0]))
    assert are_apart(line, ends, starts, np.full(3, True)).tolist() == [False, True, True]
    assert are_apart(line, ends, starts, np.full(3, False)).tolist() == [False, False, True]


@pytest.mark.parametrize("turn", [90, 180, 270])
@pytest.mark.parametrize("name", ["slanted-chromium", "malayalam-pango"])
def test_a_page_that_was_turned_is_read_as_before(name: str, turn: int, tmp_path: Path) -> None:
    with pikepdf.open(FILES / f"{name}.pdf") as file:
        file.pages[0].rotate(turn, relative=True)
        file.save(tmp_path / "turned.pdf")
    assert pdf.text(tmp_path / "turned.pdf", 1) == pdf.text(FILES / f"{name}.pdf", 1)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("昀椀nd the con昀椀g o昀昀 a昀氀oat", "find the config off afloat"),
        ("東昀椀 の a 昀椀 b", "東昀椀 の a 昀椀 b"),
    ],
)
def test_ligatures_are_letters_where_ghostscript_shifts_them(written: str, read: str) -> None:
    assert letters_of_ligatures(written) == read
