"""Distillation losses: a student learns its teacher's query vectors or scores.

Shapes: B queries and as many pages, T vectors of D dimensions a query. The teacher's side has no gradient.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from collotype.losses.contrastive import Vectors

Distillation = Literal["vectors", "kl", "margin-mse"]


NOWHERE = -1e4
"""The score of a page that is not there: its part in a softmax is 0."""


def vector_loss(student: Vectors, teacher: Vectors) -> Tensor:
    """The mean over queries of the mean over their vectors [B, T, D] of 1 − cosine; both have the same mask."""
    distance = 1 - functional.cosine_similarity(student.values, teacher.values, dim=-1)
    there = student.mask
    return (torch.where(there, distance, 0).sum(1) / there.sum(1).clamp(min=1)).mean()


def kl_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The mean over queries of KL(teacher ‖ student), between the softmaxes of their scores [B, B] over the pages."""
    log_student, log_teacher = ((scores / temperature).log_softmax(dim=1) for scores in (student, teacher))
    return functional.kl_div(log_student, log_teacher, log_target=True, reduction="batchmean")


def own_scores_loss(student: Tensor, teacher: Tensor, there: Tensor, temperature: float | None) -> Tensor:
    """Of scores [B, 1 + N] of each query's own page and its explicit negatives: KL at a temperature, the mean over
    queries; without one margin-MSE, the mean over the negatives that are there (bool [B, 1 + N])."""
    if temperature is not None:
        # a finite number, so that both sides agree on what is not there
        own, others = (one.masked_fill(~there, NOWHERE) for one in (student, teacher))
        return kl_loss(own, others, temperature)
    wrong = (student[:, :1] - student) - (teacher[:, :1] - teacher)
    others = there[:, 1:]
    return torch.where(others, wrong[:, 1:].square(), 0).sum() / others.sum().clamp(min=1)


def margin_mse_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """The mean over all pairs of a query and another's page of the squared difference of the margins by which the own
    page scores above it (arXiv 2010.02666). A batch of one has no margin and no loss."""
    wrong = (student.diagonal()[:, None] - student) - (teacher.diagonal()[:, None] - teacher)
    return wrong.square().sum() / max(1, wrong.numel() - len(wrong))
