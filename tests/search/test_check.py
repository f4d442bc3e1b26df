"""An index tells what its shortcuts cost."""

from pathlib import Path

import pytest

from collotype.runtime.errors import UserError
from collotype.search.check import measure
from collotype.search.index import Index
from collotype.search.scoring import lists
from tests.search.made import DESCRIBED, DIM, page, query_of


def test_each_plan_and_way_of_storing_beside_exact_scoring(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(lists, "MADE_FROM", 1)
    monkeypatch.setattr(lists, "NAMED_AT_LEAST", 100)
    index = Index.create(tmp_path / "index", **DESCRIBED)
    made = [page(number=number, count=6) for number in range(1, 201)]
    index.add(made)
    index.optimize()
    found = measure(index, count=8)
    ways = {way.name: way for way in found.ways}
    assert (found.k, found.queries, found.pages, found.source) == (10, 8, 200, "made of the index's own pages")
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


def test_an_empty_index_has_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no page with vectors; there is nothing to check"):
        measure(Index.create(tmp_path / "index", **DESCRIBED))
