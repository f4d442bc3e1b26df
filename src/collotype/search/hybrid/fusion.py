"""Fuses several rankings of the same pages: by calibrated scores, or by reciprocal ranks.

A page that one of them cannot see (one without words, say) is in the middle of that one's ranking: it neither gains nor
loses by it. One that it sees and does not name among its best gets nothing of it.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from collotype.runtime.errors import UserError
from collotype.runtime.files import write_json
from collotype.search.pages import PageKey

DEPTH = 100
"""Pages of each ranking that take part."""
RANK_OFFSET = 60
"""Of reciprocal ranks (Cormack et al. 2009): how little the first places are set apart."""
BELOW = 0.01
"""What a deviation below the mean counts: enough to keep the order of pages that nothing speaks for."""
LEAST = 0.1
"""What a ranking counts whose best page is no better than chance: it may be the right one all the same."""
FILE = "fusion.json"
BY_RANKS, CALIBRATED = METHODS = ("reciprocal ranks", "calibrated scores")


@dataclass(frozen=True)
class Ranking:
    """What one way of searching found."""

    name: str
    pages: Sequence[PageKey]
    """The best first, DEPTH at most."""
    scores: np.ndarray
    """Theirs; there may be more, of all pages that it has compared."""
    sees: Callable[[PageKey], bool]
    """Is there anything of this page that it could find?"""
    deviation: float | None = None
    """Its scores' standard deviation where it knows one; else it is that of the query's own."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How much each ranking counts."""

    method: str = CALIBRATED
    """One of METHODS."""
    of: Mapping[str, float] = field(default_factory=dict)
    """By its name; 1 where it is not said."""
    fitted_on: int = 0
    """Judged queries."""

    def checked(self) -> "Weights":
        """
        Raises:
            ValueError, TypeError: it is not what was written.
        """
        if self.method not in METHODS or any(not 0 <= weight < 1e9 for weight in self.of.values()):
            raise ValueError(f"unknown method {self.method!r} with weights {self.of}")
        return self

    def weight(self, name: str) -> float:
        return self.of.get(name, 1.0)


def fused(rankings: Sequence[Ranking], weights: Weights) -> list[tuple[PageKey, float]]:
    """All pages that one of them names, the best first; of equal scores by name and number."""
    used = [one for one in rankings if len(one.pages)]
    values = by_ranks if weights.method == BY_RANKS else by_scores
    pages = sorted({page for one in used for page in one.pages})
    total, most = np.zeros(len(pages)), 0.0
    for one in used:
        of = weights.weight(one.name) * values(one, pages)
        total += of
        most += of.max()
    order = np.argsort(-total, kind="stable")
    return [(pages[place], float(total[place] / (most or 1.0))) for place in order]


def by_ranks(ranking: Ranking, pages: Sequence[PageKey]) -> np.ndarray:
    """1 for the first page, less for the others: float [len(pages)]."""
    rank_of = {page: rank for rank, page in enumerate(ranking.pages, start=1)}
    middle = (len(ranking.pages) + 1) / 2

    def value(page: PageKey) -> float:
        if page not in rank_of and ranking.sees(page):
            return 0.0
        return (RANK_OFFSET + 1) / (RANK_OFFSET + rank_of.get(page, middle))

    return np.array([value(page) for page in pages])


def by_scores(ranking: Ranking, pages: Sequence[PageKey]) -> np.ndarray:
    """How unlike chance each score is: the square of its standard deviations above the mean, float [len(pages)].

    What knows nothing gives its best page as many deviations as chance does, two or three; what knows a page gives it
    five, and squares tell these apart: they are what a normal density's logarithm makes of them. The whole ranking
    counts by how likely it is that chance gives no page as good as its best.
    """
    scores = np.asarray(ranking.scores, float)
    deviation = ranking.deviation or scores.std()
    standard = (scores - scores.mean()) / (deviation if deviation > 1e-9 else 1.0)
    score_of = dict(zip(ranking.pages, standard.tolist(), strict=False))
    lowest = float(standard.min())
    found = np.array([score_of.get(page, lowest if ranking.sees(page) else 0.0) for page in pages])
    certainty = 1.0 if ranking.deviation else max(LEAST, beyond_chance(standard))
    return certainty * np.where(found > 0, found**2, BELOW * found)


def beyond_chance(standard: np.ndarray) -> float:
    """The probability that the best of as many normal numbers is less than the best of these."""
    above = math.erfc(float(standard.max()) / math.sqrt(2)) / 2
    return math.exp(-len(standard) * above)


def read(folder: Path) -> Weights | None:
    """Those that were fitted for an index, if any were.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return Weights(**json.loads(path.read_text())).checked()
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error}); fit it again with `collotype index check {folder} --queries FILE`, or "
            "delete it to use the default weights."
        ) from error


def write(folder: Path, weights: Weights) -> None:
    write_json(folder / FILE, asdict(weights))
