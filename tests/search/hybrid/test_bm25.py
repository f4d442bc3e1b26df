"""BM25 of an index's pages: the scores of bm25s, whatever came and went."""

from pathlib import Path

import bm25s
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collotype.families.retriever.bm25 import K1, METHOD, B
from collotype.runtime.terms import terms
from collotype.search.hybrid import bm25
from collotype.search.index import SIDE, Index
from collotype.search.pages import Word
from tests.search.made import DESCRIBED, page

WORDS = ["mast", "sloop", "ketch", "spring", "日本語", "Straße"]


def with_words(name: str, text: str) -> tuple:
    return page(name, words=[Word(one, (0.0, 0.0, 1.0, 1.0)) for one in text.split()])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=9), min_size=1, max_size=6), st.lists(st.sampled_from(WORDS)))
def test_scores_are_those_of_bm25s(pages: list[list[str]], query: list[str]) -> None:
    documents = [terms(" ".join(words)) for words in pages]
    counts, vocabulary = bm25.counted(documents, [])
    found = bm25.TermCounts(np.arange(len(pages)), counts, vocabulary).scores(" ".join(query))
    known = [term for term in terms(" ".join(query)) if term in vocabulary]
    if not known:
        assert not found.any()
        return
    theirs = bm25s.BM25(method=METHOD, k1=K1, b=B)
    theirs.index(documents, show_progress=False)
    np.testing.assert_allclose(found, theirs.get_scores(known), rtol=1e-5, atol=1e-6)


def test_counts_follow_pages_that_come_change_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index.create(tmp_path / "index", **DESCRIBED)
    index.add([with_words("a.pdf", "mast mast"), with_words("b.pdf", "sloop"), with_words("c.pdf", "")])
    index.count_words()
    index.add([with_words("b.pdf", "ketch mast"), with_words("d.pdf", "spring")])
    index.delete("a.pdf")
    read: list[int] = []
    words_of = bm25.words_of
    monkeypatch.setattr(bm25, "words_of", lambda version, places: read.append(len(places)) or words_of(version, places))
    view = index.view()
    found = bm25.count(view.version, index.folder / SIDE)
    assert read == [2], "what is counted is not read again"
    documents = dict(zip([name for name, _ in view.version.catalogue.row_of], found.counts.toarray(), strict=True))
    of = {term: number for number, term in enumerate(found.vocabulary)}
    assert documents["b.pdf"][of["ketch"]] == documents["b.pdf"][of["mast"]] == documents["d.pdf"][of["spring"]] == 1
    assert not documents["c.pdf"].any() and found.counts.sum() == 3


def test_the_words_of_a_heading_count_more(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", **DESCRIBED)
    title = [Word("mast", (0.0, 0.0, 0.5, 0.06))]
    text = [Word(word, (0.0, 0.2, 0.5, 0.24)) for word in "the sloop has one mast and a jib".split()]
    index.add([page("headed.pdf", words=[*title, *text]), page("even.pdf", words=[*text, *text])])
    found = bm25.count(index.view().version, index.folder / SIDE)
    scores = dict(zip([name for name, _ in index.view().version.catalogue.row_of], found.scores("mast"), strict=True))
    assert scores["headed.pdf"] > scores["even.pdf"], "twice in the text, and once in a heading"
    assert found.scores("mast").max() < found.most("mast") < found.most("mast elsewhere")


@pytest.mark.parametrize(
    ("heights", "large"),
    [([10, 10, 10, 12], [3]), ([10, 10, 11], []), ([20, 20, 8, 8, 8], [0, 1]), ([0, 0, 0], []), ([], [])],
)
def test_what_is_larger_than_the_text_is_a_heading(heights: list[int], large: list[int]) -> None:
    assert np.flatnonzero(bm25.are_large(["word"] * len(heights), np.array(heights))).tolist() == large
