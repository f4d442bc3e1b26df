"""An inverted index of sparse pages: for each token of the vocabulary, its pages with their weights."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from collotype.families.retriever.config import BYTES_PER_WEIGHT


class InvertedIndex:
    """
    Args:
        pages: [1, V] each, mostly zeros.
    """

    def __init__(self, pages: Sequence[Tensor]):
        from scipy.sparse import csc_array

        self.weights = csc_array(torch.cat(list(pages)).numpy())

    @property
    def bytes_per_page(self) -> float:
        return float(self.weights.nnz * BYTES_PER_WEIGHT / max(1, self.weights.shape[0]))

    def scores(self, query: Tensor) -> np.ndarray:
        """Of every page [P], float32: the sum of its weights for a query's words [1, V], whose lists alone are read."""
        words = query[0].nonzero()[:, 0].numpy()
        return np.asarray(self.weights[:, words] @ query[0].numpy()[words], np.float32)


def all_scores(queries: Sequence[Tensor], pages: Sequence[Tensor]) -> Tensor:
    """float32 [num_queries, num_pages]."""
    index = InvertedIndex(pages)
    return torch.from_numpy(np.stack([index.scores(query) for query in queries]))
