"""Pages by the language that their words are in."""

import shutil
from pathlib import Path

import pytest

from collotype.runtime.errors import UserError
from collotype.runtime.language import language_of
from collotype.search import languages
from collotype.search.index import Index
from collotype.search.ingest import ingest
from collotype.search.ingest.worker import image_of
from collotype.search.library import EmbeddedLibrary
from tests.search.hybrid.conftest import created
from tests.search.word_encoder import WordEncoder
from tests.small_pdf import small_pdf

GERMAN = [
    ["Im Herbst werden die reifen Birnen gepflückt", "und trocken gelagert"],
    ["0 1 2 3 4 5 6 7 8 9"],
    ["Eine Jolle hat nur einen Mast", "und kein Deck"],
]
ENGLISH = [["A sloop has one mast", "and a jib that is small"]]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "boote.pdf").write_bytes(small_pdf(GERMAN))
    (folder / "boats.pdf").write_bytes(small_pdf(ENGLISH))
    return folder


@pytest.fixture
def index(tmp_path: Path, sources: Path) -> Index:
    index = created(tmp_path / "library", WordEncoder())
    ingest([sources], index, WordEncoder(), workers=1)
    return index


def asked(index: Index, *codes: str) -> list[tuple[str, int]]:
    (query,) = WordEncoder().encode_queries(["mast"])
    return [(hit.document, hit.page) for hit in index.search(query, languages=codes)]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("de", "Birnen halten sich bis zum Frühjahr"),
        ("en", "Pears keep until spring"),
        ("fr", "Les pommes mûrissent en automne"),
        ("ja", "りんごは秋に熟します"),
        ("zh", "蘋果在秋天成熟"),
        ("no", "Eple modnast om hausten"),
        ("", "def main(): return x"),
        ("", "12 + 3.5 = 15.5 ± 0.2"),
        ("", ""),
    ],
)
def test_the_language_of_a_text(code: str, text: str) -> None:
    assert language_of(text) == code


def test_pages_of_one_language(index: Index) -> None:
    assert index.languages() == {}, "an index that was made before"
    with pytest.raises(UserError, match="not known yet; repeat the `collotype index`"):
        asked(index, "de")
    index.find_languages()
    assert index.languages() == {"de": 3, "en": 1}, "a page of figures is in its document's language"
    assert asked(index, "de")[0] == ("boote.pdf", 3)
    assert len(asked(index, "de-AT")) == 3
    assert asked(index, "EN") == [("boats.pdf", 1)]
    assert len(asked(index, "en", "de")) == len(asked(index)) == 4
    with pytest.raises(UserError, match=r"the language 'fr'; its languages are de, en\."):
        asked(index, "fr")


def test_pages_that_are_known_are_not_looked_at_again(
    index: Index, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.find_languages()
    seen: list[str] = []
    monkeypatch.setattr(languages, "language_of", lambda text: seen.append(text) or language_of(text))
    index.find_languages()
    (sources / "bateaux.pdf").write_bytes(small_pdf([["Un sloop a un seul mat et un foc"]]))
    ingest([sources], index, WordEncoder(), workers=1)
    assert index.languages() == {"de": 3, "en": 1}
    index.find_languages()
    assert seen == ["Un sloop a un seul mat et un foc"]
    assert index.languages() == {"de": 3, "en": 1, "fr": 1}
    index.delete("boote.pdf")
    assert index.languages() == {"en": 1, "fr": 1}
    shutil.rmtree(index.folder / "side")
    index.find_languages()
    assert index.languages() == {"en": 1, "fr": 1}


def test_what_is_added_to_a_library_has_a_language(index: Index, tmp_path: Path) -> None:
    (tmp_path / "new.pdf").write_bytes(small_pdf([["Un sloop a un seul mat et un foc"]]))
    library = EmbeddedLibrary(index, WordEncoder(), image_of)
    library.add(tmp_path / "new.pdf", "new.pdf", lambda done, total: None)
    assert library.languages() == {"de": 3, "en": 1, "fr": 1}
    assert [hit.document for hit in library.search("mast", 5, (), ["fr"])] == ["new.pdf"]
