"""An index tells what its shortcuts cost."""

import json
from pathlib import Path

import pytest

from collotype.cli.index_check import check
from collotype.runtime.errors import UserError
from collotype.search import judgments
from collotype.search.check import measure
from collotype.search.index import Index
from collotype.search.scoring import ivf
from tests.search.made import DESCRIBED, DIM, page, query_of


def test_each_plan_and_way_of_storing_beside_exact_scoring(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(ivf, "MADE_FROM", 1)
    monkeypatch.setattr(ivf, "NAMED_AT_LEAST", 60)
    index = Index.create(tmp_path / "index", **DESCRIBED)
    made = [page(number=number, count=6) for number in range(1, 121)]
    index.add(made)
    index.optimize()
    found = measure(index, count=5)
    ways = {way.name: way for way in found.ways}
    assert (found.k, found.queries, found.pages, found.source) == (10, 5, 120, "made of the index's own pages")
    assert list(ways)[:3] == ["plan exact", "plan bits", "plan lists"]
    assert ways["plan exact"].recall == 1
    assert 0.3 < ways["plan bits"].recall <= 1 and 0.2 < ways["plan lists"].recall <= 1
    assert ways["plan exact"].bytes_per_page == 6 * DIM * 2
    assert ways["plan bits"].bytes_per_page == 6 * (DIM * 2 + 8)
    assert ways["plan lists"].bytes_per_page > ways["plan bits"].bytes_per_page
    assert ways["stored in int8"].recall > 0.9 and ways["stored in int8"].bytes_per_page == 6 * DIM
    assert ways["2 vectors pooled to one"].recall > ways["3 vectors pooled to one"].recall > 0.2
    assert ways["3 vectors pooled to one"].bytes_per_page == 2 * DIM * 2
    given = measure(index, [query_of(encoded) for _, encoded in made[:3]], k=5)
    assert (given.k, given.queries, given.source) == (5, 3, "given")


def test_the_command_shows_a_table_or_json(tmp_path: Path, capsys) -> None:
    index = Index.create(tmp_path / "index", **DESCRIBED)
    index.add([page(number=number) for number in range(1, 30)])
    check(index.folder, top_k=3, count=2, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["k"], found["queries"], found["pages"]) == (3, 2, 29)
    assert found["ways"][0]["name"] == "plan exact" and found["ways"][0]["recall"] == 1
    check(index.folder, top_k=3, count=2, as_json=False)
    shown = capsys.readouterr().out
    assert "29 pages, 2 queries made of the index's own pages" in shown and "recall@3" in shown
    with pytest.raises(UserError, match="--rerank needs judged queries"):
        check(index.folder, rerank="reader")


def test_judged_queries_name_pages_as_hits_do(tmp_path: Path) -> None:
    documents = {"a b.pdf": [1, 2], "é.pdf": [1], "x#page=1": [3]}
    file = tmp_path / "queries.tsv"
    lines = ["one\ta%20b.pdf#page=2\ta b.pdf#page=1", "", "two\te\u0301.pdf", "alone", "one\tx#page=1#page=3"]
    file.write_text("\ufeff" + "\r\n".join(lines))
    one, two, alone = judgments.read(file, documents)
    assert one.right == {("a b.pdf", 2), ("a b.pdf", 1), ("x#page=1", 3)} and two.right == {("é.pdf", None)}
    assert two.answered_by(("é.pdf", 1)) and alone.text == "alone" and not alone.right
    assert judgments.ndcg(two, [("é.pdf", 1)], documents) == 1 and judgments.ndcg(two, [("a b.pdf", 1)], documents) == 0
    for content, problem in {
        "\n \n": r"has no query",
        "q\tnone.pdf#page=1": "Line 1 of .* names 'none.pdf#page=1', which is not in the index; write a page as",
        "q\n\nr\ta b.pdf#page=3": "Line 3 of .* names page 3 of 'a b.pdf', which is not in the index",
        "\ta b.pdf": "Line 1 of .* names pages but no query",
    }.items():
        file.write_text(content)
        with pytest.raises(UserError, match=problem):
            judgments.read(file, documents)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="cannot be read"):
        judgments.read(file, documents)


def test_an_empty_index_has_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pages with vectors, so there is nothing to check"):
        measure(Index.create(tmp_path / "index", **DESCRIBED))
