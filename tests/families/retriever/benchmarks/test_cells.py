"""Cells of an evaluation's tables as pandas and conversion scripts write them: checked, never cast."""

import json
import math
from pathlib import Path

import pandas
import pytest

from collotype import families
from collotype.families.retriever.benchmarks.beir import read_beir
from collotype.families.retriever.benchmarks.qa import read_qa
from collotype.recipe.load import load_evaluation
from collotype.runtime.errors import UserError
from tests.families.retriever.benchmarks.parquet_sets import png, write_beir, write_qa

PAGES = {"7": png("red"), "8": png("green")}
QUERIES, QRELS = {"a": "red", "b": "green"}, [("a", "7", 1), ("b", "8", 2)]
FILE = "test-00000-of-00001.parquet"


def written(folder: Path, part: str, column: str, values: list) -> Path:
    """A sound set, one of whose columns pandas wrote anew."""
    write_beir(folder, PAGES, QUERIES, QRELS)
    file = folder / part / FILE
    pandas.read_parquet(file).assign(**{column: values}).to_parquet(file)
    return folder


@pytest.mark.parametrize(
    ("part", "column", "values", "row", "seen"),
    [
        ("qrels", "score", [1, None], 1, "empty"),
        ("qrels", "score", pandas.array([1, None], "Int64"), 1, "empty"),
        ("qrels", "score", [1.0, math.inf], 1, "'inf'"),
        ("qrels", "score", [0.9, 2.7], 0, r"'0.9' \(float\), not a grade: a whole number \(a part of one would be cut"),
        ("qrels", "score", [True, False], 0, r"'True' \(bool\)"),
        ("qrels", "score", ["1", "right"], 1, "'right'"),
        ("qrels", "score", [1, 2**40], 1, "'1099511627776'"),
        ("qrels", "query-id", ["a", None], 1, "empty"),
        ("qrels", "corpus-id", [7.0, 8.0], 0, r"'7.0' \(float\), not an id"),
        ("queries", "query", ["red", None], 1, "empty"),
        ("queries", "query", ["red", " "], 1, "' '"),
        ("queries", "query", [1.5, 2.5], 0, r"'1.5' \(float\), not a text"),
        ("queries", "query-id", [0.0, 1.0], 0, r"'0.0' \(float\), not an id"),
        ("corpus", "corpus-id", [b"7", b"8"], 0, "(bytes)"),
    ],
)
def test_a_cell_that_is_something_else_is_named(part, column, values, row, seen, tmp_path: Path) -> None:
    folder = written(tmp_path, part, column, values)
    with pytest.raises(UserError, match=rf"{part}/{FILE}, row {row}, column {column} is .*{seen}"):
        read_beir("beir/own", folder)


@pytest.mark.parametrize("scores", [[1.0, 2.0], ["1", "2"], [1, 2]])
def test_whole_grades_are_taken_however_they_are_written(scores: list, tmp_path: Path) -> None:
    (found,) = read_beir("beir/own", written(tmp_path, "qrels", "score", scores))
    assert found.qrels == {"a": {"7": 1}, "b": {"8": 2}}


def test_numbers_as_queries_are_texts(tmp_path: Path) -> None:
    (found,) = read_beir("beir/own", written(tmp_path, "queries", "query", [2024, 7]))
    assert dict(found.queries) == {"a": "2024", "b": "7"}


def test_an_evaluation_stops_where_every_right_page_is_missing(tmp_path: Path) -> None:
    write_beir(tmp_path, PAGES, QUERIES, [("a", "page-7", 1), ("b", "page-8", 1)])
    with pytest.raises(
        UserError, match=r"None of the 2 relevant pages .* 'page-7', 'page-8', but the corpus has '7', '8'"
    ):
        read_beir("beir/own", tmp_path)
    write_beir(tmp_path, PAGES, QUERIES, [("query-a", "7", 1)])
    with pytest.raises(UserError, match=r"the queries have ids such as 'a', 'b', but the judgements are for 'query-a'"):
        read_beir("beir/own", tmp_path)


def test_a_page_judged_twice_and_not_alike_is_refused(tmp_path: Path) -> None:
    write_beir(tmp_path, PAGES, QUERIES, [*QRELS, ("a", "7", 1), ("b", "8", 0)])
    with pytest.raises(UserError, match="row 3 judges page 8 for query b as 0, but an earlier row as 2"):
        read_beir("beir/own", tmp_path)


@pytest.mark.parametrize("value", [2.0, math.nan, None])
def test_rows_of_the_qa_layout_ask_texts_or_nothing(value: object, tmp_path: Path) -> None:
    write_qa(tmp_path, [("red", png("red"), "r"), ("green", png("green"), "g")], files=1)
    file = tmp_path / "data" / "test-00000-of-00001.parquet"
    pandas.read_parquet(file).assign(query=[value, "green"] if value != 2 else [2.5, 2.0]).to_parquet(file)
    if value == 2:
        with pytest.raises(UserError, match=r"row 0, column query is '2\.5' \(float\), not a text"):
            read_qa("qa/own", tmp_path)
    else:
        assert list(read_qa("qa/own", tmp_path).queries.values()) == ["green"]


def as_beir_writes(folder: Path, corpus: list[dict], scores: tuple = (1, 2)) -> Path:
    queries = [{"_id": "a", "text": "red things"}, {"_id": "b", "text": "green things", "metadata": {}}]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels").mkdir(exist_ok=True)
    lines = [f"a\t7\t{scores[0]}", f"b\t8\t{scores[1]}"]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n")
    return folder


def test_beirs_own_files_with_images_are_read(tmp_path: Path) -> None:
    for name in ("7", "8"):
        (tmp_path / f"{name}.png").write_bytes(png("red" if name == "7" else "green")["bytes"])
    as_beir_writes(tmp_path, [{"_id": "7", "image": "7.png"}, {"_id": "8", "image": "8.png"}])
    (found,) = read_beir("beir/own", tmp_path)
    assert found.qrels == {"a": {"7": 1}, "b": {"8": 2}} and dict(found.queries)["a"] == "red things"
    assert found.pages.size(0) == (32, 24)
    with pytest.raises(UserError, match=r"There is no .*qrels/dev\.tsv .*\(there is test\.tsv\)"):
        read_beir("beir/own", tmp_path, "dev")
    as_beir_writes(tmp_path, [{"_id": "7", "image": "7.png"}], scores=("0.5", "1"))
    with pytest.raises(UserError, match=r"test\.tsv, row 0, column score is '0\.5' \(str\), not a grade"):
        read_beir("beir/own", tmp_path)


def test_beirs_own_files_of_texts_are_searched_by_words_alone(tmp_path: Path) -> None:
    texts = [{"_id": "7", "title": "Apples", "text": "are red"}, {"_id": "8", "title": "", "text": "Leaves are green."}]
    choice = load_evaluation("retriever", suite="beir", path=str(as_beir_writes(tmp_path, texts)))
    (found,) = families.evaluate(["bm25"], choice)["bm25"]
    assert found.metrics["ndcg_at_5"] == 1
    with pytest.raises(UserError, match="texts but no column image, so only bm25 and reader"):
        read_beir("beir/own", tmp_path)[0].pages.image(0)
