"""An index tells what its shortcuts cost."""

import json
from pathlib import Path

import pytest

from collotype.cli.index_check import check, lines
from collotype.runtime.errors import UserError
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
    (tmp_path / "none.txt").write_text("\n \n")
    with pytest.raises(UserError, match=r"none\.txt has no query"):
        lines(tmp_path / "none.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="cannot be read"):
        lines(tmp_path / "binary")


def test_an_empty_index_has_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no page with vectors; there is nothing to check"):
        measure(Index.create(tmp_path / "index", **DESCRIBED))
