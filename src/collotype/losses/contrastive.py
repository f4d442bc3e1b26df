"""Contrastive losses on queries and pages: one composition of score, objective, explicit negatives and filtering.

Every loss of colpali-engine is a point of this space (`registry.py`). s_ij is the score of query i and page j, page i
answers query i, T is the temperature, sp(x) = log(1 + e^x). Shapes: B queries and as many pages, T_q and T_p vectors
each (padded), N explicit negatives a query, D dimensions. A single vector is a multi-vector of length one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from collotype.losses.maxsim import maxsim, smooth_maxsim
from collotype.losses.settings import ContrastiveSettings


class Vectors(NamedTuple):
    """`values` [..., T, D] and `mask` bool [..., T], true where there is a vector."""

    values: Tensor
    mask: Tensor


@dataclass(frozen=True, kw_only=True)
class ContrastiveLoss(ContrastiveSettings):
    """A loss as data; calling it computes it."""

    def __call__(self, queries: Vectors, pages: Vectors, negatives: Vectors | None = None) -> Tensor:
        """The loss of one batch, a scalar.

        Args:
            queries: [B, T_q, D]; pages: [B, T_p, D], page i for query i.
            negatives: [B, N, T_p, D]; a negative without any vector is none.
        """
        return self.from_scores(self.scores(queries, pages), queries, negatives)

    def from_scores(self, scores: Tensor, queries: Vectors, negatives: Vectors | None = None) -> Tensor:
        """As calling it, where `scores` of queries and pages already exist."""
        loss = self.in_batch(scores)
        if negatives is None:
            return loss
        return (1 - self.in_batch_weight) * self.explicit(queries, scores.diagonal(), negatives) + (
            self.in_batch_weight * loss
        )

    def scores(self, queries: Vectors, pages: Vectors) -> Tensor:
        """s [B, B] in float32 (float64 for float64 input)."""
        scores = score_all(queries, pages, self.smooth_max)
        return scores / lengths(queries) if self.normalize else scores

    def own_scores(self, queries: Vectors, pages: Vectors, negatives: Vectors) -> tuple[Tensor, Tensor]:
        """Scores [B, 1 + N] of each query with its own page and its explicit negatives, and which of them are there; 0
        where there is none."""
        there = torch.cat([pages.mask.any(1, keepdim=True), negatives.mask.any(2)], 1)
        apart = [score_own(queries, one, self.smooth_max) for one in (Vectors(*(x[:, None] for x in pages)), negatives)]
        scores = torch.cat(apart, 1).masked_fill(~there, 0)
        return scores / lengths(queries) if self.normalize else scores, there

    def in_batch(self, scores: Tensor) -> Tensor:
        """The objective on the scores of all pairs of the batch [B, B]."""
        if self.filter_threshold is not None:
            damp = filter_false_negatives if self.filter_formula == "lower" else multiply_likely_positives
            scores = damp(scores, self.filter_threshold, self.filter_factor)
        scaled = scores / self.temperature
        positives = torch.arange(len(scores), device=scores.device)
        if self.objective == "infonce":
            return functional.cross_entropy(scaled, positives)
        if self.objective == "symmetric-infonce":
            return (functional.cross_entropy(scaled, positives) + functional.cross_entropy(scaled.T, positives)) / 2
        own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
        if self.objective == "pairwise":
            hardest = scaled.masked_fill(own, float("-inf")).max(dim=1).values
            return functional.softplus(hardest - scaled.diagonal()).mean()
        return functional.softplus(torch.where(own, -scaled, scaled)).mean()

    def explicit(self, queries: Vectors, positive_scores: Tensor, negatives: Vectors) -> Tensor:
        """mean sp((s_neg - s_pos) / T) over the explicit negatives that are there."""
        there = negatives.mask.any(dim=2)
        if self.share_negatives:
            flat = Vectors(negatives.values.flatten(0, 1), negatives.mask.flatten(0, 1))
            scores, there = score_all(queries, flat, self.smooth_max), there.flatten().expand(len(queries.values), -1)
        else:
            scores = score_own(queries, negatives, self.smooth_max)
        if self.normalize:
            scores = scores / lengths(queries)
        pull = functional.softplus((scores - positive_scores[:, None]) / self.temperature)
        return torch.where(there, pull, 0).sum() / there.sum().clamp(min=1)


def lengths(queries: Vectors) -> Tensor:
    """Number of vectors of each query, [B, 1]."""
    return queries.mask.sum(dim=1, keepdim=True)


def score_all(queries: Vectors, pages: Vectors, smooth_max: float | None = None) -> Tensor:
    """Scores of all pairs [B_q, B_p]."""
    together = (queries.values, pages.values, queries.mask, pages.mask)
    return maxsim(*together) if smooth_max is None else smooth_maxsim(*together, tau=smooth_max)


def score_own(queries: Vectors, negatives: Vectors, smooth_max: float | None = None) -> Tensor:
    """Scores of each query with its own negatives [B, N]; -inf where there is none."""
    rows = [
        score_all(Vectors(q[None], qm[None]), Vectors(n, nm), smooth_max)
        for q, qm, n, nm in zip(*queries, *negatives, strict=True)
    ]
    return torch.cat(rows)


def filter_false_negatives(scores: Tensor, threshold: float, factor: float) -> Tensor:
    """Off-diagonal s_ij > s_ii - (1 - threshold) |s_ii|, lowered by (1 - factor) max(|s_ij|, |s_ii|), a constant to the
    gradient.

    Where s_ij >= s_ii >= 0 that is colpali-engine's value, s_ij * factor. It is lower whatever the signs, so a filtered
    loss is never above the unfiltered one.
    """
    positives = scores.detach().diagonal()[:, None]
    likely = (scores > positives - (1 - threshold) * positives.abs()) & ~own_pairs(scores)
    return scores - torch.where(likely, (1 - factor) * scores.detach().abs().maximum(positives.abs()), 0)


def multiply_likely_positives(scores: Tensor, threshold: float, factor: float) -> Tensor:
    """Off-diagonal s_ij > threshold * s_ii multiplied by factor (colpali-engine's late_interaction_losses.py): half of
    -0.2 is -0.1, so a likely positive with a negative score is pushed harder."""
    likely = (scores > threshold * scores.diagonal()[:, None]) & ~own_pairs(scores)
    return torch.where(likely, scores * factor, scores)


def own_pairs(scores: Tensor) -> Tensor:
    return torch.eye(len(scores), dtype=torch.bool, device=scores.device)
