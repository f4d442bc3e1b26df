"""The beir layout: languages, grades, and judgements that do not fit."""

from pathlib import Path

import pytest
import torch

from collotype.evaluation.results import MtebTask
from collotype.families.retriever.benchmarks.beir import read_beir
from collotype.families.retriever.benchmarks.benchmark import differing_sizes
from collotype.families.retriever.evaluate import evaluate, retrieve
from collotype.runtime.errors import UserError
from tests.families.retriever.benchmarks.parquet_sets import png, write_beir

PAGES = {7: png("red"), 8: png("green"), 9: png("blue")}


class Fixed:
    """Scores of three pages that do not look at anything: 3, 2, 1, whatever is asked."""

    digest = "fixed"

    def __init__(self) -> None:
        self.searches: list[int] = []

    def facts(self) -> dict:
        return {}

    def looks_at(self, pages) -> str:
        return "nothing"

    def events(self, queries) -> tuple:
        return ()

    def scores(self, queries, pages, world) -> torch.Tensor:
        self.searches.append(len(queries))
        return torch.tensor([3.0, 2.0, 1.0]).expand(len(queries), 3)


def test_languages_in_a_column_are_subsets_over_one_corpus(tmp_path: Path) -> None:
    """As in ViDoRe v2: all languages share corpus and judgements."""
    queries, languages = {0: "red", 1: "rouge", 2: "green"}, ["english", "french", "english"]
    write_beir(tmp_path, PAGES, queries, [(0, 7, 1), (1, 7, 1), (2, 8, 2), (2, 9, 1)], language=languages)
    english, french = read_beir("vidore-v2/set", tmp_path)
    assert (english.subset, dict(english.queries)) == ("english", {"0": "red", "2": "green"})
    assert (french.subset, dict(french.queries)) == ("french", {"1": "rouge"})
    assert english.pages is french.pages and list(english.pages.ids) == ["7", "8", "9"]
    assert english.qrels == {"0": {"7": 1}, "2": {"8": 2, "9": 1}}


def test_a_task_of_one_language_is_not_divided(tmp_path: Path) -> None:
    write_beir(tmp_path, PAGES, {0: "red", 1: "rouge"}, [(0, 7, 1), (1, 7, 1)], language=["english", "french"])
    (found,) = read_beir("vidore-v2/set", tmp_path, task=MtebTask("T", "r", "test", {"default": "eng-Latn"}))
    assert found.subset == "default" and len(found.queries) == 2


def test_languages_as_configurations_are_searched_together(tmp_path: Path) -> None:
    """As in mteb's copies of ViDoRe v3: each language has its own copy of the corpus."""
    for language, query in (("english", "red"), ("french", "rouge")):
        write_beir(tmp_path, PAGES, {f"{language}-0": query}, [(f"{language}-0", 9, 2)], prefix=f"{language}-")
    found = read_beir("vidore-v3/set", tmp_path, headline="ndcg_at_10")
    assert [one.subset for one in found] == ["english", "french"] and found[0].pages is found[1].pages
    searcher = Fixed()
    (measured,) = evaluate(searcher, found)
    assert searcher.searches == [2], "the pages are encoded once for all languages"
    assert measured.headline == "ndcg_at_10" and measured.metrics["mrr"] == pytest.approx(1 / 3)


def test_a_dataset_is_the_mean_of_its_languages_whatever_their_sizes(tmp_path: Path) -> None:
    queries = {0: "red", 1: "green", 2: "blue", 3: "bleu"}
    judged = [(0, 7, 1), (1, 7, 1), (2, 7, 1), (3, 9, 1)]
    write_beir(tmp_path, PAGES, queries, judged, language=["english"] * 3 + ["french"])
    (measured,) = evaluate(Fixed(), read_beir("beir/set", tmp_path))
    assert measured.subsets["english"]["mrr"] == 1 and measured.subsets["french"]["mrr"] == pytest.approx(1 / 3)
    assert measured.metrics["mrr"] == pytest.approx(2 / 3)


def test_grades_gain_linearly(tmp_path: Path) -> None:
    write_beir(tmp_path, PAGES, {0: "warm"}, [(0, 8, 2), (0, 9, 1)])
    (found,) = retrieve(Fixed(), read_beir("beir/set", tmp_path))
    log = torch.log2(torch.tensor([2.0, 3.0, 4.0]))
    assert found.metrics["ndcg_at_5"] == pytest.approx(float((2 / log[1] + 1 / log[2]) / (2 / log[0] + 1 / log[1])))


def test_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    write_beir(tmp_path, PAGES, {0: "red", 1: "nothing", 2: "none"}, [(0, 7, 1), (0, 99, 1), (1, 8, 0)])
    (found,) = read_beir("beir/set", tmp_path, published={"queries": 1, "pages": 4})
    assert list(found.queries) == ["0"]
    assert {event["kind"]: event["count"] for event in found.events} == {
        "queries-without-answer": 2,
        "right-pages-missing": 1,
    }
    (event,) = differing_sizes(found)
    assert event["note"] == "3 pages, published are 4"
    (measured,) = evaluate(Fixed(), [found])
    assert measured.metrics["recall_at_5"] == 0.5, "a page nobody can find still counts as right"
    assert [event["kind"] for event in measured.facts["events"]][-1] == "size-differs"


def test_column_names_of_the_other_copies_are_read(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write_beir(tmp_path, PAGES, {0: "red"}, [(0, 7, 1)])
    renamed = {"corpus": {"corpus-id": "id"}, "queries": {"query-id": "_id", "query": "text"}, "qrels": {}}
    for part, names in renamed.items():
        file = tmp_path / part / "test-00000-of-00001.parquet"
        table = pq.read_table(file)
        pq.write_table(table.rename_columns([names.get(name, name) for name in table.column_names]), file)
    (tmp_path / "qrels").rename(tmp_path / "default")
    (found,) = read_beir("beir/set", tmp_path)
    assert found.qrels == {"0": {"7": 1}} and found.queries == {"0": "red"}


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    import shutil

    write_beir(tmp_path, PAGES, {0: "red"}, [(0, 77, 1)])
    shutil.rmtree(tmp_path / "queries")
    with pytest.raises(UserError, match="has no configuration queries; it has corpus, qrels"):
        read_beir("beir/set", tmp_path)
    write_beir(tmp_path / "twice", {"a": png("red")}, {0: "red"}, [(0, "a", 0)])
    with pytest.raises(UserError, match="has a relevant page"):
        read_beir("beir/set", tmp_path / "twice")
