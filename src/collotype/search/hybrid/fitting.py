"""Fits the weights of a hybrid index on judged queries."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from collotype.search.hybrid.fusion import CALIBRATED, Ranking, Weights, by_scores, fused
from collotype.search.judgments import JudgedQuery
from collotype.search.pages import PageKey

FEWEST = 10
"""Judged queries that weights are fitted on."""
FOLDS = 5
STEPS = 10
"""Weights are tenths that add up to one."""
CUTOFF = 5


@dataclass(frozen=True)
class Example:
    """A judged query, and what each part found."""

    query: JudgedQuery
    rankings: Sequence[Ranking]

    def pages_of(self, name: str) -> list[PageKey]:
        """What one part found."""
        return next((list(one.pages) for one in self.rankings if one.name == name), [])

    def features(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Calibrated scores float [pages, parts], and which pages are right, bool [pages]."""
        used = {one.name: one for one in self.rankings if len(one.pages)}
        pages: list[PageKey] = sorted({page for one in used.values() for page in one.pages})
        columns = [by_scores(used[name], pages) if name in used else np.zeros(len(pages)) for name in names]
        return np.stack(columns, axis=1), np.array([self.query.answered_by(page) for page in pages], bool)


def fit(examples: Sequence[Example]) -> Weights:
    """The weights of calibrated scores that have the best nDCG@5; of equal ones those that are most alike.

    All of them are tried: there are few parts, and nDCG is what a person sees.
    """
    names = sorted({one.name for example in examples for one in example.rankings})
    # a query whose right pages nobody found says nothing about weights
    prepared = [found for example in examples if (found := example.features(names))[1].any()]
    if not prepared:
        return Weights()
    tried = sorted(compositions(len(names), STEPS), key=lambda weights: max(weights) - min(weights))
    means = [
        np.mean([ndcg(scores @ np.array(weights, float), right) for scores, right in prepared]) for weights in tried
    ]
    best = tried[int(np.argmax(np.round(means, 6)))]
    weights = {name: share / STEPS for name, share in zip(names, best, strict=True)}
    return Weights(method=CALIBRATED, of=weights, fitted_on=len(prepared))


def compositions(parts: int, total: int) -> Iterator[tuple[int, ...]]:
    """All ways of sharing a whole number among some parts."""
    if parts == 1:
        yield (total,)
        return
    for share in range(total + 1):
        yield from ((share, *rest) for rest in compositions(parts - 1, total - share))


def ndcg(scores: np.ndarray, right: np.ndarray) -> float:
    """nDCG@5 among the pages that somebody found."""
    discount = 1 / np.log2(np.arange(2, CUTOFF + 2))
    first = right[np.argsort(-scores, kind="stable")[:CUTOFF]]
    return float(discount[: len(first)] @ first / discount[: min(CUTOFF, int(right.sum()))].sum())


def held_out(examples: Sequence[Example]) -> list[list[PageKey]]:
    """What each query finds under weights that were fitted without it."""
    fold_of = np.random.default_rng(0).permutation(len(examples)) % min(FOLDS, len(examples))
    found: list[list[PageKey]] = [[] for _ in examples]
    for fold in range(fold_of.max() + 1):
        weights = fit([example for example, of in zip(examples, fold_of, strict=True) if of != fold])
        for place in np.flatnonzero(fold_of == fold).tolist():
            found[place] = [page for page, _ in fused(examples[place].rankings, weights)]
    return found
