"""Suites by name: ViDoRe from local copies, without the hub, and the slides."""

from pathlib import Path

import pytest

from collotype.families.retriever.benchmarks import averaged_names, find_suite
from collotype.families.retriever.benchmarks.vidore import published
from collotype.families.retriever.bm25 import Bm25
from collotype.families.retriever.data import open_source
from collotype.families.retriever.evaluate import evaluate
from collotype.families.retriever.recipe import SlideSource
from collotype.recipe.load import load_evaluation
from collotype.runtime.errors import UserError
from tests.families.retriever.benchmarks.parquet_sets import png, write_beir, write_qa
from tests.families.retriever.benchmarks.test_beir import Fixed

PAGES = {1: png("red"), 2: png("green"), 3: png("blue")}
ROWS = [("red?", png("red"), "a"), ("green?", png("green"), "b"), ("blue?", png("blue"), "c")]


def copies(folder: Path, suite: str) -> Path:
    """A tiny copy of every dataset of a suite."""
    for facts in published()[suite]["datasets"].values():
        place, languages = folder / facts["beir"].split("/")[1], facts.get("languages") or {"english": 0, "french": 0}
        queries = {number: f"red in {language}?" for number, language in enumerate(languages)}
        write_beir(place, PAGES, queries, [(number, 1, 1) for number in queries], language=list(languages))
    return folder


def test_the_published_suites_are_whole() -> None:
    assert {suite: len(facts["datasets"]) for suite, facts in published().items()} == {
        "vidore-v1": 10,
        "vidore-v2": 4,
        "vidore-v3": 8,
        "vidore-v3.1": 8,
    }
    sizes = {name: (facts["queries"], facts["pages"]) for name, facts in published()["vidore-v1"]["datasets"].items()}
    assert sizes["tatdqa"] == (1646, 277) and sizes["docvqa"] == (451, 500) and sizes["shiftproject"] == (100, 1000)


@pytest.mark.parametrize(("suite", "headline"), [("vidore-v1", "ndcg_at_5"), ("vidore-v3.1", "ndcg_at_10")])
def test_a_whole_suite_has_an_average_and_says_what_differs(tmp_path: Path, suite: str, headline: str) -> None:
    benchmarks = find_suite(load_evaluation("retriever", suite=suite, data_dir=str(copies(tmp_path, suite))))
    measured = evaluate(Fixed(), benchmarks)
    assert [one.dataset for one in measured] == [*averaged_names(suite), f"{suite}/average"]
    assert {one.headline for one in measured} == {headline}
    assert measured[-1].metrics["ndcg_at_5"] == 1.0
    differing = [event for event in measured[0].facts["events"] if event["kind"] == "size-differs"]
    assert differing and "published are" in differing[0]["note"]


def test_part_of_a_suite_has_no_average(tmp_path: Path) -> None:
    choice = load_evaluation(
        "retriever", suite="vidore-v1", only=["docvqa"], data_dir=str(copies(tmp_path, "vidore-v1"))
    )
    assert [one.dataset for one in evaluate(Fixed(), find_suite(choice))] == ["vidore-v1/docvqa"]


def test_counting_chooses_the_copy(tmp_path: Path) -> None:
    write_qa(tmp_path / "docvqa_test_subsampled", [*ROWS, ("red?", png("red"), "d")])
    for counting, pages in (("mteb", 3), ("vidore-benchmark", 4)):
        choice = load_evaluation(
            "retriever", suite="vidore-v1", only=["docvqa"], data_dir=str(tmp_path), counting=counting
        )
        (found,) = find_suite(choice)
        assert found.num_pages == pages and found.counting == counting


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"has no folder arxivqa_test_subsampled_beir or arxivqa_test_subsampled; put"):
        find_suite(load_evaluation("retriever", suite="vidore-v1", data_dir=str(tmp_path)))
    with pytest.raises(UserError, match="vidore-v1 has no dataset 'docs'"):
        find_suite(load_evaluation("retriever", suite="vidore-v1", only=["docs"]))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-hub"))
    words = r"docvqa_test_subsampled_beir at e78cd\S+ is not complete .*HF_HUB_OFFLINE is set.*--data-dir DIR"
    with pytest.raises(UserError, match=words):
        find_suite(load_evaluation("retriever", suite="vidore-v1", only=["docvqa"]))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"suite": "qa"}, "none is given; name it with --path"),
        ({"suite": "beir:nowhere"}, "there is no nowhere"),
        ({"suite": "qa:a", "path": "b"}, "leave one of them out"),
        ({"suite": "sheets", "data_dir": "x"}, "data_dir is not supported by the suite sheets"),
        ({"suite": "vidore-v1", "path": "x"}, "path is not supported by the suite vidore-v1"),
        ({"suite": "sheets", "name": "x"}, "name is not supported by the suite sheets"),
        ({"suite": "qa:a", "name": "../x"}, "at name: string should match"),
        ({"suite": "vidore"}, "Unknown suite 'vidore'"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(values: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        find_suite(load_evaluation("retriever", **values))


def test_ones_own_folder_names_the_dataset(tmp_path: Path) -> None:
    write_qa(tmp_path / "my-set", ROWS)
    (found,) = find_suite(load_evaluation("retriever", suite=f"qa:{tmp_path / 'my-set'}"))
    assert found.name == "qa/my-set" and len(found.queries) == 3
    (found,) = find_suite(load_evaluation("retriever", suite=f"qa:{tmp_path / 'my-set'}", name="mine"))
    assert found.name == "qa/mine"


def test_slides_ask_for_titles_and_answer_with_the_slides_that_bear_them() -> None:
    found = {(one.name, one.subset): one for one in find_suite(load_evaluation("retriever", suite="slides"))}
    assert {key: (len(one.queries), one.num_pages) for key, one in found.items()} == {
        ("slides/titles", "en"): (34, 89),
        ("slides/titles", "de"): (34, 89),
        ("slides/titles", "fr"): (34, 90),
        ("slides/titles", "ja"): (34, 90),
        ("slides/translated-titles", "en"): (94, 89),
        ("slides/translated-titles", "de"): (96, 89),
        ("slides/translated-titles", "fr"): (95, 90),
        ("slides/translated-titles", "ja"): (95, 90),
    }
    english, translated = found["slides/titles", "en"], found["slides/translated-titles", "en"]
    answers = {english.queries[query]: set(pages) for query, pages in english.qrels.items()}
    assert answers["The Deb package format"] == {"en-07"}
    # the exercise and its answer
    assert answers["Practical session 2: packaging GNUjump"] == {"en-62", "en-75"}
    others = {translated.queries[query]: set(pages) for query, pages in translated.qrels.items()}
    assert others["Das Deb-Paketformat"] == others["deb パッケージフォーマット"] == {"en-07"}
    assert others["練習問題 2: GNUjump のパッケージング"] == {"en-62", "en-75"}
    assert "debian/copyright" not in others, "the same in every language"
    assert english.pages.image(6).size == english.pages.size(6) == (1024, 768)


def test_slides_that_train_are_never_asked_what_the_suite_asks() -> None:
    """Nor any other title; and a line stands on no slide but its own."""
    source = open_source(SlideSource(source="slides"))
    benchmarks = find_suite(load_evaluation("retriever", suite="slides"))
    asked = {query.casefold() for one in benchmarks for query in one.queries.values()}
    assert len(source) == len(set(source.queries)) > 2000
    assert not asked & {query.casefold() for query in source.queries}
    row = source.queries.index("Become a Debian power-user")
    assert [ref.page for ref in source.pages(row)] == [2] * 4
    shown = {source.example(row, epoch).page.tobytes() for epoch in range(20)}
    assert len(shown) == 4, "in every language"
    assert source.fingerprint() == open_source(SlideSource(source="slides")).fingerprint()


def test_bm25_finds_titles_and_hardly_translations() -> None:
    titles, translated = evaluate(Bm25(), find_suite(load_evaluation("retriever", suite="slides")))
    assert titles.metrics["ndcg_at_5"] == pytest.approx(0.828, abs=0.005)
    assert translated.metrics["ndcg_at_5"] == pytest.approx(0.318, abs=0.005)
    assert titles.facts["chance"]["ndcg_at_5"] == pytest.approx(0.034, abs=5e-4)
    assert all(metrics["recall_at_5"] > 0.75 for metrics in titles.subsets.values()), "Japanese, too"
