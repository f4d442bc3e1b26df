"""MaxSim, the late-interaction score, in blocks that keep only the winning positions.

Shapes: B_q queries, B_p pages, T_q and T_p vectors each (padded), D dimensions.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


def maxsim(queries: Tensor, pages: Tensor, query_mask: Tensor | None = None, page_mask: Tensor | None = None) -> Tensor:
    """The late-interaction score of every query with every page (ColPali, arXiv 2407.01449, eq. 1).

    `score[i, j]` is the sum over the vectors `n` of query `i` of the maximum over the vectors `s` of page `j` of the
    dot product of `q[i, n]` and `d[j, s]`.

    Args:
        queries: [B_q, T_q, D].
        pages: [B_p, T_p, D].
        query_mask: bool [B_q, T_q], true where there is a vector; all are, if none is given.
        page_mask: bool [B_p, T_p], likewise.

    Returns:
        [B_q, B_p], float32 (float64 for float64 input). Padding never counts, so the value of a pair does not depend on
        its batch. Of equal similarities the first vector gets the gradient. A page without any vector scores -inf.

    Examples:
        One query of two vectors and two pages of two vectors each:

        >>> import collotype, torch
        >>> queries = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> pages = torch.tensor([[[1.0, 0.0], [0.6, 0.8]], [[0.0, 1.0], [0.0, 0.5]]])
        >>> collotype.maxsim(queries, pages)
        tensor([[1.8000, 1.0000]])

        The second page has only one vector, the other is padding:

        >>> there = torch.tensor([[True, True], [False, True]])
        >>> collotype.maxsim(queries, pages, page_mask=there)
        tensor([[1.8000, 0.5000]])
    """
    # scores are float32, also where the model computes in half precision
    with torch.autocast(queries.device.type, enabled=False):
        scores: Tensor = _MaxSim.apply(*prepared(queries, pages, query_mask, page_mask))
    return scores


def smooth_maxsim(
    queries: Tensor, pages: Tensor, query_mask: Tensor | None = None, page_mask: Tensor | None = None, tau: float = 0.1
) -> Tensor:
    """As `maxsim` with tau * logsumexp(x / tau) in place of the maximum (`use_smooth_max` of colpali-engine)."""
    queries, pages, query_mask, page_mask = prepared(queries, pages, query_mask, page_mask)

    def block_scores(pages: Tensor, mask: Tensor) -> Tensor:
        similarities = torch.einsum("qnd,btd->qbnt", queries, pages) / tau
        smooth = tau * similarities.masked_fill(~mask[:, None, :], float("-inf")).logsumexp(dim=3)
        return torch.where(query_mask[:, None, :], smooth, 0).sum(dim=2)

    size = max(1, block_elements(pages.device) // max(1, query_mask.numel() * pages.shape[1]))
    cuts = [slice(start, start + size) for start in range(0, len(pages), size)]
    # computed again on the way back: only one block's similarities are held at a time
    with torch.autocast(pages.device.type, enabled=False):
        parts = [checkpoint(block_scores, pages[cut], page_mask[cut], use_reentrant=False) for cut in cuts]
    return torch.cat(parts, dim=1)


def prepared(
    queries: Tensor, pages: Tensor, query_mask: Tensor | None, page_mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Vectors in float32 (float64 where one is), masks of all vectors where there are none."""
    dtype = torch.float64 if torch.float64 in (queries.dtype, pages.dtype) else torch.float32
    if query_mask is None:
        query_mask = queries.new_ones(queries.shape[:2], dtype=torch.bool)
    if page_mask is None:
        page_mask = pages.new_ones(pages.shape[:2], dtype=torch.bool)
    return queries.to(dtype), pages.to(dtype), query_mask.bool(), page_mask.bool()


class _MaxSim(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, pages: Tensor, query_mask: Tensor, page_mask: Tensor) -> Tensor:
        vectors, padded = queries[query_mask], not page_mask.all()
        best = vectors.new_empty(len(vectors), len(pages))
        winners = torch.empty(best.shape, dtype=torch.int32, device=best.device)
        for rows, block in blocks(vectors, pages):
            similarities = (vectors[rows] @ pages[block].flatten(0, 1).T).unflatten(1, pages[block].shape[:2])
            if padded:
                similarities.masked_fill_(~page_mask[block], float("-inf"))
            best[rows, block], positions = similarities.max(dim=2)
            winners[rows, block] = positions.to(torch.int32)
        ctx.save_for_backward(vectors, pages, query_mask, winners)
        scores = best.new_zeros(*query_mask.shape, len(pages))
        scores[query_mask] = best
        return scores.sum(dim=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        vectors, pages, query_mask, winners = ctx.saved_tensors
        pull = gradient[:, None, :].expand(*query_mask.shape, -1)[query_mask]
        query_gradient = page_gradient = None
        if ctx.needs_input_grad[0]:
            # which of all pages' vectors won, for each (query vector, page)
            won = winners + torch.arange(len(pages), device=pages.device) * pages.shape[1]
            query_gradient = gradient.new_zeros(*query_mask.shape, vectors.shape[1])
            query_gradient[query_mask] = weighted_sums(pages.flatten(0, 1), won, pull)
        if ctx.needs_input_grad[1]:
            page_gradient = torch.empty_like(pages)
            size = max(1, block_elements(pages.device) // (8 * max(1, len(vectors))))
            for first in range(0, len(pages), size):
                block = slice(first, first + size)
                page_gradient[block] = pulled(vectors, winners[:, block], pull[:, block], pages.shape[1])
        return query_gradient, page_gradient, None, None


def pulled(vectors: Tensor, winners: Tensor, pull: Tensor, length: int) -> Tensor:
    """What each of `length` vectors of a page gets from the query vectors it won [B_p, length, D].

    The list of winners is turned round by a stable sort, so sums are taken in one order on every device.
    """
    count = winners.shape[1]
    rows, order = (winners + torch.arange(count, device=winners.device) * length).flatten().sort(stable=True)
    starts = torch.searchsorted(rows, torch.arange(count * length, device=rows.device))
    sums = weighted_sums(vectors, order // count, pull.flatten()[order], starts)
    return sums.view(count, length, vectors.shape[1])


def weighted_sums(table: Tensor, picked: Tensor, weights: Tensor, starts: Tensor | None = None) -> Tensor:
    """sum_k weights[i, k] * table[picked[i, k]], row by row; with `starts`, of the flat lists that begin there."""
    return functional.embedding_bag(picked, table, starts, per_sample_weights=weights, mode="sum")


def block_elements(device: torch.device) -> int:
    """Numbers held at once: 4 MiB in float32 on the CPU, where what leaves the cache costs more than a short loop."""
    return 2**26 if device.type == "cuda" else 2**20


def blocks(vectors: Tensor, pages: Tensor) -> Iterator[tuple[slice, slice]]:
    """Cuts (query vectors, pages) so that one block's similarities stay within `block_elements`, one page at least."""
    limit = block_elements(pages.device)
    rows = max(1, min(len(vectors), limit // max(1, pages.shape[1])))
    columns = max(1, limit // max(1, rows * pages.shape[1]))
    for start in range(0, len(vectors), rows):
        for first in range(0, len(pages), columns):
            yield slice(start, start + rows), slice(first, first + columns)
