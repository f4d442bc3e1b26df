"""Where on the page a query word matched: the similarities of its patches."""

import numpy as np
from torch import Tensor


def similarity_map(word_vector: Tensor, patch_vectors: Tensor, grid: tuple[int, int]) -> np.ndarray:
    """Similarities of one query vector [D] to the vectors that look at the image [rows * columns, D], by place."""
    # no matrix product, which half precision would round
    return (patch_vectors * word_vector).sum(1).reshape(grid).numpy()
