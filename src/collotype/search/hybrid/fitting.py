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
"""Weights that are tried are tenths that add up to one."""
SAMPLES = 50
"""Of the queries, drawn with replacement."""
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


def fit(examples: Sequence[Example], usual: Weights) -> Weights:
    """The weights of calibrated scores that have the best nDCG@5, as far as the queries can tell.

    All of them are tried: there are few parts, and nDCG is what a person sees. On few queries the best are so by
    chance: what is taken is their mean over samples of the queries (bagging, Breiman 1996), drawn towards the usual
    weights, which count as FEWEST queries more.
    """
    names = sorted({one.name for example in examples for one in example.rankings})
    # a query whose right pages nobody found says nothing about weights
    prepared = [found for example in examples if (found := example.features(names))[1].any()]
    if not prepared:
        return usual
    prior = np.array([usual.weight(name) for name in names])
    prior /= prior.sum()
    tried = np.array(list(compositions(len(names), STEPS)), float) / STEPS
    # of equal ones the first is taken
    tried = tried[np.argsort(np.abs(tried - prior).sum(axis=1), kind="stable")]
    quality = np.array([[ndcg(scores @ weights, right) for weights in tried] for scores, right in prepared])
    count = len(prepared)
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=SAMPLES)
    best = tried[np.round(drawn @ quality, 6).argmax(axis=1)].mean(axis=0)
    weights = (count * best + FEWEST * prior) / (count + FEWEST)
    of = dict(zip(names, np.round(weights, 4).tolist(), strict=True))
    return Weights(method=CALIBRATED, of=of, fitted_on=count)


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


def held_out(examples: Sequence[Example], usual: Weights) -> list[list[PageKey]]:
    """What each query finds under weights that were fitted without it."""
    fold_of = np.random.default_rng(0).permutation(len(examples)) % min(FOLDS, len(examples))
    found: list[list[PageKey]] = [[] for _ in examples]
    for fold in range(fold_of.max() + 1):
        weights = fit([example for example, of in zip(examples, fold_of, strict=True) if of != fold], usual)
        for place in np.flatnonzero(fold_of == fold).tolist():
            found[place] = [page for page, _ in fused(examples[place].rankings, weights)]
    return found
