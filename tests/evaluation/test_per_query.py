"""Intervals over queries: what they cover, what is drawn together, and what the files keep."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collotype.evaluation import per_query
from collotype.evaluation.per_query import DatasetQueries, bootstrap, difference, intervals
from collotype.evaluation.results import Measured, write_results

VALUES = st.dictionaries(st.text(max_size=4), st.floats(0, 1), min_size=1, max_size=6)


def kept(values: dict[str, dict[str, float]]) -> per_query.PerQuery:
    return {s: {q: dict.fromkeys(per_query.METRICS, value) for q, value in of.items()} for s, of in values.items()}


@given(st.dictionaries(st.sampled_from(["english", "french"]), VALUES, min_size=1))
@settings(max_examples=15, deadline=None)
def test_a_run_beside_itself_differs_by_nothing(values: dict) -> None:
    found = DatasetQueries({"sha256": "a"}, kept(values))
    assert difference(found, found, "ndcg_at_5") == (0.0, 0.0)
    low, high = bootstrap(values)
    everything = [value for of in values.values() for value in of.values()]
    assert min(everything) - 1e-9 <= low <= high <= max(everything) + 1e-9


def test_it_covers_the_true_mean_as_often_as_it_says() -> None:
    """Scores of 0 or 1 with a mean of 0.6 over 60 queries: 95 % of 100 intervals, give or take."""
    random = np.random.default_rng(7)
    draws = [{"default": dict(enumerate((random.random(60) < 0.6).astype(float)))} for _ in range(100)]
    covered = sum(low <= 0.6 <= high for low, high in map(bootstrap, draws))
    assert 89 <= covered <= 99


def test_pairing_takes_out_what_both_find_hard() -> None:
    random = np.random.default_rng(1)
    hard = random.random(300)
    one = kept({"default": {str(n): value for n, value in enumerate(hard)}})
    other = kept({"default": {str(n): value + 0.01 + random.normal() / 100 for n, value in enumerate(hard)}})
    low, high = difference(DatasetQueries(0, one), DatasetQueries(0, other), "mrr") or (0, 0)
    alone = bootstrap(per_query.of_metric(one, "mrr"))
    assert 0 < low < 0.01 < high < 0.02
    assert alone[1] - alone[0] > 10 * (high - low)


def test_translations_of_a_query_are_drawn_together() -> None:
    """Four copies of the same values say no more than one; four subsets of queries of their own do."""
    values = dict(enumerate(np.random.default_rng(2).random(100)))
    width = np.subtract(*bootstrap({"en": values}))
    copies = np.subtract(*bootstrap({name: values for name in ("en", "fr", "de", "es")}))
    others = {s: {(s, q): value for q, value in values.items()} for s in ("en", "fr", "de", "es")}
    assert copies == pytest.approx(width)
    assert np.subtract(*bootstrap(others)) == pytest.approx(width / 2, rel=0.2)


def test_other_queries_or_other_data_cannot_be_paired() -> None:
    one = DatasetQueries({"sha256": "a"}, kept({"default": {"q1": 1.0}}))
    assert difference(one, DatasetQueries({"sha256": "b"}, one.values), "mrr") is None
    assert difference(one, DatasetQueries(one.data, kept({"default": {"q2": 1.0}})), "mrr") is None
    assert difference(one, one, "map_at_10") is None


def test_files_keep_every_query(tmp_path: Path) -> None:
    values = kept({"english": {'a,"b"\r\n': 0.25, "NA": 1.0}, "french": {"é": 0.0}})
    facts = {"data": {"english": {"sha256": "a"}}}
    write_results(tmp_path, [Measured("qa/mine.v2", {"mrr": 0.5}, "mrr", {}, facts, queries=values)])
    assert per_query.read(tmp_path, "qa/mine.v2") == DatasetQueries(facts["data"], values)
    assert per_query.read(tmp_path, "qa/other") is None
    assert intervals(values) == intervals(values), "the seed is fixed"
