"""Contrastive objectives on a score matrix whose diagonal holds the positives."""

import torch
from torch import Tensor
from torch.nn import functional

from collotype.losses.maxsim import maxsim


def retrieval_scores(
    queries: Tensor, pages: Tensor, query_mask: Tensor, page_mask: Tensor, normalize: bool = False
) -> Tensor:
    """MaxSim of all pairs [B_q, B_p]; `normalize` divides by the query's number of vectors.

    A single vector is a multi-vector of length one: then MaxSim is the dot product.
    """
    scores = maxsim(queries, pages, query_mask, page_mask)
    return scores / query_mask.sum(1, keepdim=True) if normalize else scores


def infonce(scores: Tensor, temperature: float) -> Tensor:
    """mean_i -log softmax_j(s_ij / T)[i]: every other page of the batch is a negative of query i.

    Args:
        scores: [B, B], row i for query i, its page in column i.

    Returns:
        a scalar. (van den Oord et al., arXiv 1807.03748, eq. 4; BiEncoderLoss and ColbertLoss of colpali-engine.)
    """
    targets = torch.arange(len(scores), device=scores.device)
    return functional.cross_entropy(scores / temperature, targets)
