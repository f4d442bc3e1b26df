"""Token pooling: fewer vectors per page, one for each cluster of similar vectors.

Both methods cut a Ward tree into at most K = max(T // factor, 1) clusters of a page's T unit vectors of D dimensions.

`hierarchical` is colpali-engine's HierarchicalTokenPooler (0.3.18): the tree is of the rows of the T × T matrix
1 − similarity, whose distances are taken one pair at a time over T numbers, and a cluster becomes its mean.
`fast` takes the tree of the vectors themselves, distances from matrix products over D numbers. A cluster becomes the
centre of the smallest cap around it: MaxSim asks for the one best vector, so the member that is served worst counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collotype.runtime.errors import UserError

SAME = 1e-6
"""Below this, float32 cannot tell a squared distance of unit vectors, or a difference of similarities, from zero."""

CENTRE_STEPS, BLOCK_ROWS = 4, 128


def pool_tokens(vectors: Tensor, factor: int, method: str = "hierarchical") -> Tensor:
    """The vectors of one page, pooled.

    Args:
        vectors: [T, D], L2-normalised, of any dtype, on any device; clusters are found on the CPU in float32.
        factor: how many vectors become one on average.
        method: `hierarchical`, as published, or `fast`.

    Returns:
        [K, D], L2-normalised, of the same dtype and device, K = max(T // factor, 1); fewer where clusters cannot be
        told apart (`fast` pools a page of k < K distinct vectors to these k). Factor 1, or fewer than two vectors:
        `vectors` itself.

    Raises:
        UserError: no such method, or `factor` is not a whole number from 1 on.
    """
    Pooling(factor=factor, method=method)
    if factor == 1 or len(vectors) < 2:
        return vectors
    found = unit(vectors.detach().float().cpu().numpy())
    return torch.from_numpy(METHODS[method](found, max(len(found) // factor, 1))).to(vectors)


@dataclass(frozen=True, kw_only=True)
class Pooling:
    """Token pooling as an option: pools the pages it is called with, each by itself."""

    factor: int
    method: str = "hierarchical"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UserError(f"Unknown pooling method {self.method!r}; the methods are {', '.join(METHODS)}.")
        if not isinstance(self.factor, int) or self.factor < 1:
            raise UserError(f"The pool factor is {self.factor}; give a whole number of at least 1 (no pooling).")

    def __call__(self, pages: Sequence[Tensor]) -> list[Tensor]:
        return [pool_tokens(vectors, self.factor, self.method) for vectors in pages]


def hierarchical(vectors: np.ndarray, count: int) -> np.ndarray:
    """The published pooler: means [≤ count, D] of clusters that resemble the page's vectors [T, D] alike."""
    from scipy.spatial.distance import pdist

    rows, _, starts = clusters(vectors, pdist(1 - similarities(vectors, vectors)), count)
    return unit(np.add.reduceat(rows, starts))


def fast(vectors: np.ndarray, count: int) -> np.ndarray:
    """Centres [≤ count, D] of the smallest caps around clusters of the vectors [T, D].

    From the mean on, each step goes towards the farthest member (all of them, where they are equally far), and is
    shorter than the one before (Bădoiu and Clarkson 2003, "Smaller core-sets for balls").
    """
    rows, labels, starts = clusters(vectors, distances(vectors), count)
    centres = unit(np.add.reduceat(rows, starts))
    for step in range(CENTRE_STEPS):
        reached = np.einsum("td,td->t", rows, centres[labels])
        farthest = np.flatnonzero(reached <= np.minimum.reduceat(reached, starts)[labels] + SAME)
        firsts = np.searchsorted(labels[farthest], np.arange(len(centres)))
        centres = unit(centres + (unit(np.add.reduceat(rows[farthest], firsts)) - centres) / (step + 3))
    return centres


METHODS = {"hierarchical": hierarchical, "fast": fast}


def clusters(vectors: np.ndarray, condensed: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ward's tree cut into at most `count` clusters.

    Args:
        vectors: [T, D]; condensed: the distance of each pair [T (T − 1) / 2], as SciPy orders them.

    Returns:
        The vectors in the order of their clusters, each one's cluster [T], and where each cluster starts [≤ count].
    """
    labels = ward_labels(condensed, count)
    order = np.argsort(labels, kind="stable")
    return vectors[order], labels[order], np.searchsorted(labels[order], np.arange(labels.max() + 1))


def ward_labels(condensed: np.ndarray, count: int) -> np.ndarray:
    """The cluster of each vector [T] where Ward's tree of their distances is cut into at most `count`."""
    from scipy.cluster.hierarchy import fcluster, linkage

    cluster_of: np.ndarray = fcluster(linkage(condensed, method="ward"), t=count, criterion="maxclust") - 1
    return cluster_of


def distances(vectors: np.ndarray) -> np.ndarray:
    """Euclidean distances of all pairs of unit vectors, condensed, float64 [T (T − 1) / 2].

    In blocks of rows: fresh memory for the whole square costs more than its arithmetic.
    """
    condensed, place = np.empty(len(vectors) * (len(vectors) - 1) // 2), 0
    for first in range(0, len(vectors), BLOCK_ROWS):
        squared = 2 - 2 * similarities(vectors[first : first + BLOCK_ROWS], vectors[first:])
        squared *= squared >= SAME
        for row, line in enumerate(np.sqrt(squared, out=squared), start=1):
            condensed[place : place + len(line) - row] = line[row:]
            place += len(line) - row
    return condensed


def similarities(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """All dot products; by torch, because NumPy's threads are not set by the process and wait in busy loops."""
    return (torch.from_numpy(one) @ torch.from_numpy(other).T).numpy()


def unit(vectors: np.ndarray) -> np.ndarray:
    """The vectors [T, D], L2-normalised."""
    found: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found
