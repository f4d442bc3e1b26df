"""Words and pictures searched together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collotype.runtime.errors import UserError
from collotype.search import image_query
from collotype.search.hybrid import parts
from collotype.search.hybrid.library import BM25, HybridLibrary
from collotype.search.library import EmbeddedLibrary, QueryError
from collotype.search.rerank import RerankedLibrary, SecondStage
from tests.search.colour_encoder import ColourEncoder
from tests.search.word_encoder import WordEncoder
from tests.small_pdf import small_pdf


def finders(hit) -> dict[str, int]:
    return {one.name: one.rank for one in hit.found_by}


def test_each_hit_says_what_found_it_and_where(library: HybridLibrary) -> None:
    assert library.encoder == "colours, the same words, BM25"
    best, *_ = library.search("sloop white", 3)
    assert (best.document, best.page) == ("boats.pdf", 2)
    assert finders(best)["the same words"] == finders(best)[BM25] == 1 and "colours" in finders(best)
    assert {(place.word, place.by) for place in best.places} >= {("sloop", "the same words"), ("white", "colours")}
    assert "sloop" in best.text


def test_a_query_that_one_model_cannot_take_is_answered_by_the_others(library: HybridLibrary) -> None:
    hits, how = library.explained("mast", 3)
    assert hits[0].document == "boats.pdf" and how.parts["colours"] is None
    assert "colours" not in finders(hits[0])
    with pytest.raises(QueryError, match="names no colour"):
        library.search("?", 3)


def test_a_page_without_words_is_found_by_its_looks(library: HybridLibrary) -> None:
    (best,) = library.search("green", 1)
    assert best.document == "green.png" and finders(best) == {"colours": 1} and best.text == ""
    assert library.search("green", 5, ["boats.pdf"])[0].document == "boats.pdf"


def test_each_part_keeps_to_the_language(library: HybridLibrary, documents: Path) -> None:
    (documents / "boot.pdf").write_bytes(small_pdf([["Eine Jolle hat nur einen Mast", "und kein weisses Segel"]]))
    library.add(documents / "boot.pdf", "boot.pdf", lambda done, total: None)
    assert library.languages() == {"en": 5, "de": 1}
    (only,) = library.search("mast white", 5, (), ["de"])
    assert only.document == "boot.pdf" and set(finders(only)) == {"colours", "the same words", BM25}
    assert {hit.document for hit in library.search("mast white", 9, (), ["en"])} == {"boats.pdf", "fruit.pdf"}
    with pytest.raises(UserError, match="in the language 'ja'; its languages are en, de"):
        library.search("mast", 3, (), ["ja"])


def test_both_light_a_page(library: HybridLibrary) -> None:
    both = np.asarray(library.heatmap("boats.pdf", 2, "sloop white", 300), float)
    words = np.asarray(library.others[0].heatmap("boats.pdf", 2, "sloop white", 300), float)
    colours = np.asarray(EmbeddedLibrary.heatmap(library, "boats.pdf", 2, "white", 300), float)
    assert both.shape == words.shape == colours.shape
    assert both.mean() > words.mean(), "what the picture's model lights is lit as well"
    unlit = library.heatmap("green.png", 1, "mast", 90)
    assert np.array_equal(np.asarray(unlit), np.asarray(library.image("green.png", 1, 90)))


def test_adding_and_deleting_reaches_every_part(library: HybridLibrary, documents: Path) -> None:
    (documents / "new.pdf").write_bytes(small_pdf([["Lighthouses blink"]]))
    assert library.add(documents / "new.pdf", "new.pdf", lambda done, total: None) == 1
    assert library.search("Lighthouses", 1)[0].document == "new.pdf"
    library.delete("new.pdf")
    for one in library.members:
        assert "new.pdf" not in [document.name for document in one.index.documents()]
    assert all(hit.document != "new.pdf" for hit in library.search("Lighthouses white", 9))


def test_parts_follow_what_the_index_has(opened: Callable[[], HybridLibrary], documents: Path) -> None:
    library = opened()
    folder, beside = library.index.folder, library.others[0].index
    again = parts.same_documents(folder, beside, WordEncoder(), workers=1)
    assert (again.added, again.unchanged, again.removed) == (0, 8, 0)
    library.index.delete("fruit.pdf")
    library.ledger.update({"fruit.pdf": None})
    assert parts.same_documents(folder, beside, WordEncoder(), workers=1).removed == 2


def test_an_image_finds_pages_like_it(library: HybridLibrary, documents: Path) -> None:
    asked = image_query.of_file(library.draw, documents / "red.png")
    hits = library.search(asked, 2)
    assert hits[0].document == "red.png" and finders(hits[0]) == {"colours": 1}
    two = Image.new("RGB", (90, 60), (30, 30, 220))
    two.paste((220, 30, 30), (0, 0, 45, 60))
    assert library.search(image_query.of_image(two, "two"), 2)[0].document in ("red.png", "blue.png")
    left = image_query.of_image(two, "two", image_query.box_of("0,0,0.4,1"))
    assert library.search(left, 1)[0].document == "red.png" and str(left) == "part of two"
    like = image_query.of_page(library, "blue.png", 1, image_query.box_of("0.5,0,1,1"))
    assert library.search(like, 1)[0].document == "blue.png"
    with pytest.raises(QueryError, match="the same words cannot search by an image; index the documents with a"):
        library.others[0].search(asked, 1)


@pytest.mark.parametrize("crop", ["", "1,2", "0,0,0,1", "0.5,0,0.2,1", "nan,0,1,1", "-1,0,1,1", "0,0,1,inf", "a,b,c,d"])
def test_what_is_no_part_of_a_page_is_told(crop: str) -> None:
    with pytest.raises(UserError, match="is not a region of a page; give left,top,right,bottom"):
        image_query.box_of(crop)


def test_bytes_that_are_no_image_are_told(library: HybridLibrary, documents: Path) -> None:
    content = (documents / "red.png").read_bytes()
    assert library.search(image_query.of_bytes(library.draw, content), 1)[0].document == "red.png"
    with pytest.raises(UserError, match="The upload is neither an image nor a PDF"):
        image_query.of_bytes(library.draw, b"<svg/>")
    with pytest.raises(UserError) as told:
        image_query.of_bytes(library.draw, content[:40])
    assert "/tmp" not in str(told.value)
    with pytest.raises(UserError, match="1 × 1 pixels; use one of at least 16"):
        image_query.of_image(Image.new("RGB", (1, 1)), "small")


def test_a_second_stage_puts_the_first_pages_in_order(library: HybridLibrary, tmp_path: Path) -> None:
    words = library.others[0]
    stage = SecondStage(words, ColourEncoder(), tmp_path / "kept")
    reranked = RerankedLibrary(words, stage, 4)
    hits, how = reranked.explained("white mast", 3)
    assert how.pages == how.encoded == 4 and len(hits) == 3
    assert [one.name for one in hits[0].found_by] == ["colours", "the same words"]
    assert {place.by for place in hits[0].places} == {"colours", "the same words"}
    assert reranked.explained("white mast", 3)[1].encoded == 0, "pages that are known are not encoded again"
    with pytest.raises(QueryError, match="The second stage: The query 'mast' names no colour"):
        reranked.search("mast", 3)
    with pytest.raises(UserError, match="--rerank-first 201 is not between 1 and 200"):
        RerankedLibrary(words, stage, 201)
