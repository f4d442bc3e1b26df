"""Ranking metrics exactly as trec_eval computes them.

A ranking is by score in float32, descending; equal scores by document id, descending (trec_eval's precision and tie
rule). Gains are linear, the discount of rank r is 1/log2(r + 1). `ndcg_at_K_exponential` stands beside it, with
the gain 2^grade - 1 of much of the literature: the same number where grades are 0 and 1.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

CUTOFFS = (1, 3, 5, 10, 20, 50, 100)

Qrels = Mapping[str, Mapping[str, int]]
"""query id -> page id -> relevance (0 or absent: not relevant)."""

Scores = Mapping[str, Mapping[str, float]]
"""query id -> page id -> score."""

EXPONENTIAL = "_exponential"

METRICS = (
    "mrr",
    *(f"{name}_at_{k}" for k in CUTOFFS for name in ("ndcg", "map", "recall", "precision", "mrr")),
    *(f"ndcg_at_{k}{EXPONENTIAL}" for k in CUTOFFS),
)
"""The metrics there are."""


def rank(scores: Mapping[str, float]) -> list[str]:
    """Document ids, best first."""
    return sorted(sorted(scores, reverse=True), key=lambda document: -np.float32(scores[document]))


def exponential(grades: np.ndarray) -> np.ndarray:
    """2^grade - 1, in units of 2^(the highest grade), so that no grade is too high."""
    top = grades.max(initial=0)
    gains: np.ndarray = np.exp2(grades - top) - np.exp2(-top)
    return gains


def ndcg_pairs(gains: np.ndarray, ideal: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By the ending of its name: a gain of what was found, and of what there is, in one unit."""
    both = exponential(np.concatenate([gains, ideal]))
    return {"": (gains, ideal), EXPONENTIAL: (both[: len(gains)], both[len(gains) :])}


def query_metrics(relevance: Mapping[str, int], scores: Mapping[str, float]) -> dict[str, float]:
    """All metrics of one query."""
    gains = np.array([max(0, relevance.get(document, 0)) for document in rank(scores)], dtype=np.float64)
    ideal = np.sort([float(gain) for gain in relevance.values() if gain > 0])[::-1]
    hits = gains > 0
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(gains) + 1)
    discount = 1 / np.log2(np.arange(2, max(len(gains), len(ideal)) + 2))
    first = int(np.argmax(hits)) + 1 if hits.any() else None
    metrics, pairs = {"mrr": 1 / first if first else 0.0}, ndcg_pairs(gains, ideal)
    for k in CUTOFFS:
        num_hits = int(hits[:k].sum())
        for ending, (found_gains, best_gains) in pairs.items():
            best = float(best_gains[:k] @ discount[: len(best_gains[:k])])
            reached = float(found_gains[:k] @ discount[: len(found_gains[:k])])
            metrics[f"ndcg_at_{k}{ending}"] = reached / best if best else 0.0
        metrics[f"map_at_{k}"] = float(precision[:k][hits[:k]].sum()) / len(ideal) if len(ideal) else 0.0
        metrics[f"recall_at_{k}"] = num_hits / len(ideal) if len(ideal) else 0.0
        metrics[f"precision_at_{k}"] = num_hits / k
        metrics[f"mrr_at_{k}"] = 1 / first if first and first <= k else 0.0
    return metrics


def chance_metrics(relevance: Mapping[str, int], documents: Collection[str]) -> dict[str, float]:
    """What one query's metrics are on average over all orders of the documents: what knowing nothing scores; not
    MAP and the cut MRR, which are close to what is here."""
    gains = np.array([max(0, relevance.get(document, 0)) for document in documents], dtype=np.float64)
    ideal = np.sort([float(gain) for gain in relevance.values() if gain > 0])[::-1]
    count, right = len(gains), int((gains > 0).sum())
    expected, missed = {"mrr": 0.0}, 1.0
    for place in range(1, count - right + 2 if right else 1):
        hit = right / (count - place + 1)
        expected["mrr"] += missed * hit / place
        missed *= 1 - hit
    discount, pairs = 1 / np.log2(np.arange(2, max(CUTOFFS) + 2)), ndcg_pairs(gains, ideal)
    for k in CUTOFFS:
        shown = min(k, count)
        for ending, (there, best_gains) in pairs.items():
            best = float(best_gains[:k] @ discount[: len(best_gains[:k])])
            reached = float(there.sum()) / count * float(discount[:shown].sum())
            expected[f"ndcg_at_{k}{ending}"] = reached / best if best else 0.0
        expected[f"recall_at_{k}"] = right * shown / count / len(ideal) if len(ideal) else 0.0
        expected[f"precision_at_{k}"] = right * shown / count / k
    return expected


def ranking_metrics(qrels: Qrels, run: Scores) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Means over the queries that stand in both `qrels` and `run` (as trec_eval takes them), and each query's own.

    Keys: `ndcg_at_K`, `map_at_K`, `recall_at_K`, `precision_at_K`, `mrr_at_K` and `ndcg_at_K_exponential` for
    K in CUTOFFS, and `mrr` (over the whole ranking).

    Raises:
        ValueError: no query stands in both, or a score is not a number.
    """
    shared = [query for query in qrels if query in run]
    if not shared:
        raise ValueError(f"None of the {len(qrels)} judged queries is among the {len(run)} queries of the run.")
    for query in shared:
        if any(score != score for score in run[query].values()):
            raise ValueError(f"Query {query!r} has a score that is not a number.")
    by_query = {query: query_metrics(qrels[query], run[query]) for query in shared}
    return mean_metrics(list(by_query.values())), by_query


def mean_metrics(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric, over queries, language subsets or datasets."""
    return {name: float(np.mean([metrics[name] for metrics in found])) for name in found[0]}
