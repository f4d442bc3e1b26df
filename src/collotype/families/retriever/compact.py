"""Compact vectors: the first dimensions of each (Matryoshka, arXiv 2205.13147), and a page's vectors pooled. A model
trained for them is told so by its loss, and remembers it."""

from collections.abc import Iterator
from itertools import product
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from collotype.families.retriever.config import Compact, require_dim
from collotype.families.retriever.token_pooling import CENTRE_STEPS, SAME, distances, ward_labels
from collotype.losses.contrastive import Vectors
from collotype.losses.maxsim import weighted_sums
from collotype.runtime.errors import UserError

Stored = Literal["fp16", "int8", "bits"]
STORED: tuple[Stored, ...] = ("fp16", "int8", "bits")


def forms(
    trained: Compact, queries: Vectors, pages: Vectors, negatives: Vectors | None
) -> Iterator[tuple[Vectors, Vectors, Vectors | None, Tensor]]:
    """A batch's vectors in every form that the loss is the mean over, as `index` makes them: cut, then pooled; and how
    far a page's vectors lie from what they are pooled to."""
    for dim, factor in product(trained.dims or (None,), trained.pool_factors or (1,)):
        found, spread = pooled(cut_all(pages, dim), factor)
        misses = None if negatives is None else pooled(cut_all(negatives, dim), factor)[0]
        yield cut_all(queries, dim), found, misses, spread


def cut(vectors: Tensor, dim: int | None) -> Tensor:
    """The first `dim` numbers (none: all) of vectors [..., D], L2-normalised; zeros stay zeros."""
    if dim is None or dim == vectors.shape[-1]:
        return vectors
    return functional.normalize(vectors[..., :dim], dim=-1)


def rounded(vectors: Tensor, stored: Stored) -> Tensor:
    """A page's vectors [T, D] as they are found again: int8 with a scale a page, or their signs alone, of unit length.
    fp16 changes nothing that matters."""
    if stored == "int8":
        scale = float(vectors.abs().amax()) / 127 if vectors.numel() else 1.0
        return (vectors / scale).round() * scale
    return torch.where(vectors > 0, 1.0, -1.0) * vectors.shape[-1] ** -0.5 if stored == "bits" else vectors


def cut_all(vectors: Vectors, dim: int | None) -> Vectors:
    return Vectors(cut(vectors.values, dim), vectors.mask)


def pooled(pages: Vectors, factor: int) -> tuple[Vectors, Tensor]:
    """Pages [..., T, D] pooled each by itself to [..., K, D], as by `pool_tokens(…, method="fast")`, and the mean of
    1 − cosine over all vectors with their centre. The gradient goes through the centres of the clusters; which vectors
    are a cluster, and which are its farthest, has none."""
    if factor == 1:
        return pages, pages.values.new_zeros(())
    shape, mask = pages.values.shape[:-2], pages.mask.flatten(0, -2)
    rows, lengths = pages.values[pages.mask], mask.sum(1).tolist()
    labels, counts = list[Tensor](), list[int]()
    for vectors in rows.detach().split(lengths):
        own = own_labels(vectors, factor)
        labels.append(own + sum(counts))
        counts.append(int(own.max()) + 1 if len(own) else 0)
    joined = torch.cat(labels).to(rows.device)
    middle = centres(rows, joined, sum(counts))
    spread = 1 - (rows * middle[joined]).sum(1).mean()
    found = functional.pad(middle, (0, 0, 0, 1))
    there = torch.arange(max(counts), device=rows.device) < torch.tensor(counts, device=rows.device)[:, None]
    place = torch.full(there.shape, sum(counts), device=rows.device)
    place[there] = torch.arange(sum(counts), device=rows.device)
    return Vectors(found[place].unflatten(0, shape), there.unflatten(0, shape)), spread


def own_labels(vectors: Tensor, factor: int) -> Tensor:
    """The cluster of each of a page's vectors [T, D], int64 [T]."""
    if len(vectors) < 2:
        return torch.zeros(len(vectors), dtype=torch.int64)
    return torch.from_numpy(ward_labels(distances(vectors.cpu().numpy()), max(len(vectors) // factor, 1))).long()


def centres(rows: Tensor, labels: Tensor, count: int) -> Tensor:
    """The centre of the smallest cap around every cluster's unit vectors (rows [N, D], labels [N]), [count, D]: the
    steps of `token_pooling.fast`, with gradient."""
    labels, order = labels.sort(stable=True)
    starts = torch.searchsorted(labels, torch.arange(count, device=rows.device))

    def mean(there: Tensor) -> Tensor:
        return functional.normalize(weighted_sums(rows, order, there.to(rows.dtype), starts), dim=-1)

    found = mean(torch.ones_like(order))
    for step in range(CENTRE_STEPS):
        with torch.no_grad():
            reached = (rows[order] * found[labels]).sum(1)
            least = reached.new_full((count,), 2.0).scatter_reduce(0, labels, reached, "amin")
            farthest = reached <= least[labels] + SAME
        found = functional.normalize(found + (mean(farthest) - found) / (step + 3), dim=-1)
    return found


def require_trained(trained: Compact | None, width: int, dim: int | None, pool_factor: int | None, source: str) -> None:
    """
    Raises:
        UserError: the model has no such dimensions, or was trained for other ones or other pool factors.
    """
    trained = trained or Compact()
    require_dim(dim, width, source)
    for name, asked, whole, known in (
        ("dim", dim, width, trained.dims),
        ("pool factor", pool_factor, 1, trained.pool_factors),
    ):
        if asked not in (None, whole, *known):
            has = ", ".join(map(str, known)) or "none"
            raise UserError(
                f"{source} was not trained for the {name} {asked} (it was for: {has}); measure its cost with "
                "`collotype compress`, then force it with --untrained."
            )
