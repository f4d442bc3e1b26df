"""Labels that PDFs bring along."""

from pathlib import Path

import pytest

from collotype.families.retriever.data import open_source
from collotype.families.retriever.data.outline import CAPTION, OutlinePairs
from collotype.families.retriever.recipe import PdfOutlineSource
from collotype.runtime.errors import UserError
from tests.small_pdf import small_pdf

BREAD = small_pdf(
    [
        ["Contents", "Figure 1: Sales of bread . . . . . . 2"],
        ["Bread", "Figure 1: Sales of bread"],
        ["Rye", "Table 2. Rye"],
    ],
    [("All about bread", 2), ("About  rye", 3), ("Summary", 3), ("Rye", 3)],
)
CAKE = small_pdf([["Cake", "Abbildung 4-1 - Kuchen im Ofen"]], [("All about cake", 1), ("Summary", 1)])


def outline(path: Path, **settings) -> OutlinePairs:
    return open_source(PdfOutlineSource(source="pdf-outline", path=str(path), **settings))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pdfs/more").mkdir(parents=True)
    (tmp_path / "pdfs/bread.pdf").write_bytes(BREAD)
    (tmp_path / "pdfs/more/cake.PDF").write_bytes(CAKE)
    (tmp_path / "pdfs/more/the same cake.pdf").write_bytes(CAKE)
    return tmp_path / "pdfs"


def labels(found: OutlinePairs) -> list[tuple[str, str, int]]:
    return [(query, found.name(ref.path), ref.page) for query, ref in zip(found.queries, found.refs, strict=True)]


def test_titles_and_captions_lead_to_their_pages(folder: Path) -> None:
    found = outline(folder)
    # "Summary" names a page of either document, "Rye" is too short, the list of figures is none of captions
    assert labels(found) == [
        ("All about bread", "bread.pdf", 2),
        ("Sales of bread", "bread.pdf", 2),
        ("About rye", "bread.pdf", 3),
        ("All about cake", "more/cake.PDF", 1),
        ("Kuchen im Ofen", "more/cake.PDF", 1),
    ]
    example = outline(folder, page_px=150).example(2, 0)
    assert (example.query, example.page.size) == ("About rye", (150, 100))
    assert labels(outline(folder, captions=False, limit=2)) == [labels(found)[0], labels(found)[2]]
    assert labels(outline(folder / "bread.pdf", min_chars=3, outline=False)) == [
        labels(found)[1],
        ("Rye", "bread.pdf", 3),
    ]


def test_the_fingerprint_follows_the_labels_and_not_the_place(folder: Path, tmp_path: Path) -> None:
    before = outline(folder).fingerprint()
    assert outline(folder, captions=False).fingerprint() != before
    assert outline(folder.rename(tmp_path / "moved")).fingerprint() == before


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("Figure 3: Sales by year", "Sales by year"),
        ("Fig. 12. Sales", "Sales"),
        ("FIGURE A1 — Sales", "Sales"),
        ("Table 2.1: Costs", "Costs"),
        ("Tableau 3 : Coûts", "Coûts"),
        ("Abb. 7: Kosten", "Kosten"),
        ("Figure 3 shows that", None),
        ("see Figure 3: there", None),
        ("Table of contents", None),
        ("Tables 3: many", None),
    ],
)
def test_what_a_caption_is(line: str, text: str | None) -> None:
    match = CAPTION.match(line)
    assert (match and match["text"]) == text


def test_nothing_to_be_found_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no PDF in"):
        outline(tmp_path)
    (tmp_path / "plain.pdf").write_bytes(small_pdf([["A page without anything"]]))
    with pytest.raises(UserError, match=r"The 1 PDFs in .* have no outline title or caption of at least 6 characters"):
        outline(tmp_path)
    (tmp_path / "secret.pdf").write_bytes(small_pdf([["x"]], encrypted=True))
    with pytest.raises(UserError, match=r"secret.pdf is encrypted"):
        outline(tmp_path)
