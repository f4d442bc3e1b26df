"""Ranking metrics against trec_eval itself, on rankings nobody chose."""

from itertools import permutations
from math import log2

import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from collotype.evaluation.ranking import CUTOFFS, chance_metrics, mean_metrics, query_metrics, ranking_metrics

DOCUMENTS = [f"d{number}" for number in range(12)] + ["D1", "é", "z"]
SCORES = st.sampled_from([-1.5, -0.25, 0.0, 0.25, 0.1, 0.1 + 1e-12, 0.1 + 1e-7, 1.0, 3.0]) | st.floats(-5, 5)
QUERY = st.tuples(
    st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 3), min_size=1),
    st.dictionaries(st.sampled_from(DOCUMENTS), SCORES, min_size=1),
)


@given(st.lists(QUERY, min_size=1, max_size=4))
def test_every_metric_is_trec_evals(queries: list) -> None:
    qrels = {f"q{i}": judged for i, (judged, _) in enumerate(queries)}
    run = {f"q{i}": scores for i, (_, scores) in enumerate(queries)}
    cuts = ",".join(map(str, CUTOFFS))
    measures = {f"{name}.{cuts}" for name in ("ndcg_cut", "map_cut", "recall", "P")} | {"recip_rank"}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
    means, ours = ranking_metrics(qrels, run)
    assert means["mrr"] == pytest.approx(sum(found["recip_rank"] for found in theirs.values()) / len(theirs), abs=1e-9)
    for query, expected in theirs.items():
        named = {"recip_rank": ours[query]["mrr"]}
        for name, own in (("ndcg_cut", "ndcg"), ("map_cut", "map"), ("recall", "recall"), ("P", "precision")):
            named |= {f"{name}_{k}": ours[query][f"{own}_at_{k}"] for k in CUTOFFS}
        assert named == pytest.approx(expected, abs=1e-9)


@given(QUERY.filter(lambda query: len(query[1]) < 6))
@settings(max_examples=30)
def test_chance_is_the_mean_over_all_orders(query: tuple) -> None:
    judged, documents = query
    orders = [dict(zip(order, range(len(order)), strict=True)) for order in permutations(documents)]
    mean = mean_metrics([query_metrics(judged, order) for order in orders])
    chance = chance_metrics(judged, documents)
    assert chance == pytest.approx({name: mean[name] for name in chance}, abs=1e-9)


def test_exponential_gain_by_hand() -> None:
    """Grades 1, 3, 0, 2 in the order shown, and one of 3 that was not found: 2^r - 1 is 1, 7, 0, 3 and 7."""
    judged, scores = {"a": 1, "b": 3, "d": 2, "e": 3}, {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}
    found = query_metrics(judged, scores)
    second, third, fourth = log2(3), log2(4), log2(5)
    gained, best = 1 + 7 / second + 3 / fourth, 7 + 7 / second + 3 / third + 1 / fourth
    assert gained / best == pytest.approx(0.50262, abs=1e-5)
    assert found["ndcg_at_5_exponential"] == pytest.approx(gained / best, abs=1e-12)
    linear = (1 + 3 / second + 2 / fourth) / (3 + 3 / second + 2 / third + 1 / fourth)
    assert found["ndcg_at_5"] == pytest.approx(linear, abs=1e-12)
    assert found["ndcg_at_1_exponential"] == pytest.approx(1 / 7) and found["ndcg_at_1"] == pytest.approx(1 / 3)


@given(QUERY)
def test_exponential_gain_is_trec_evals_on_grades_made_so(query: tuple) -> None:
    judged, scores = query
    theirs = pytrec_eval.RelevanceEvaluator(
        {"q": {page: 2**grade - 1 for page, grade in judged.items()}}, {"ndcg_cut." + ",".join(map(str, CUTOFFS))}
    ).evaluate({"q": scores})["q"]
    found = query_metrics(judged, scores)
    assert {f"ndcg_cut_{k}": found[f"ndcg_at_{k}_exponential"] for k in CUTOFFS} == pytest.approx(theirs, abs=1e-9)


@given(QUERY)
def test_gains_of_grades_0_and_1_are_alike(query: tuple) -> None:
    judged, scores = {page: min(grade, 1) for page, grade in query[0].items()}, query[1]
    for found in (query_metrics(judged, scores), chance_metrics(judged, scores)):
        assert all(found[f"ndcg_at_{k}"] == found[f"ndcg_at_{k}_exponential"] for k in CUTOFFS)


def test_no_grade_is_too_high() -> None:
    found = query_metrics({"a": 5000, "b": 4999}, {"a": 1.0, "b": 2.0})
    assert found["ndcg_at_1_exponential"] == 0.5


def test_queries_without_ranking_do_not_count() -> None:
    means, by_query = ranking_metrics({"a": {"x": 1}, "b": {"x": 1}}, {"a": {"x": 1.0}})
    assert means["ndcg_at_5"] == 1.0 and list(by_query) == ["a"]


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="'a' has a score that is not a number"):
        ranking_metrics({"a": {"x": 1}}, {"a": {"x": float("nan")}})
    with pytest.raises(ValueError, match="None of the 1 judged queries"):
        ranking_metrics({"a": {"x": 1}}, {"b": {"x": 1.0}})
