"""Sparse vectors over a vocabulary (SPLADE, arXiv 2109.10086). Shapes: B pages or queries, T tokens, V words."""

import torch
from torch import Tensor


def saturated(logits: Tensor, mask: Tensor) -> Tensor:
    """The weight of each word on a page: the maximum over its tokens of log(1 + relu(logit)), [B, V] of [B, T, V]."""
    return there(logits, mask).amax(1).log1p()


def saturated_at(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """As `saturated`, and the token where each maximum is, int64 [B, V]."""
    found = there(logits, mask).max(1)
    return found.values.log1p(), found.indices


def there(logits: Tensor, mask: Tensor) -> Tensor:
    return logits.relu().masked_fill(~mask[..., None], 0)


def bags(ids: Tensor, mask: Tensor, words: int) -> Tensor:
    """One for each word that a query has, float32 [B, V] of its tokens [B, T]: no model reads it."""
    found = torch.zeros(len(ids), words + 1, device=ids.device)
    return found.scatter_(1, ids.masked_fill(~mask, words), 1)[:, :words]


def flops(weights: Tensor) -> Tensor:
    """The sum over words of the squared mean weight [B, V]: what a search would multiply (arXiv 2004.05665)."""
    return weights.abs().mean(0).square().sum()
