"""BERT (arXiv 1810.04805) for short queries, in NumPy, on memory-mapped weights.

Texts are computed one after the other: without padding there is nothing to compute in vain and nothing to mask.
"""

from collections.abc import Sequence

import numpy as np

from collotype.search.encoders.bert import EPSILON, Layer

PART = 2**15
"""Numbers of an activation computed together."""
LOGIT = (1.8699543e-09, -1.3637198e-07, 4.0177792e-06, -5.5611676e-05, -3.1795145e-05, 0.036332228, 0.79788521)
"""P, fitted by least squares for x up to 6: the error of x Φ(x) is below 1e-7 there."""


class Tower:
    """
    Args:
        embeddings: "words" [pieces, width], "positions", "types", "norm.weight", "norm.bias".
        layers: as `layer` names their weights.
        epsilon: of layer norms.
    """

    def __init__(self, embeddings: Layer, layers: list[Layer], heads: int, epsilon: float = EPSILON) -> None:
        self.embeddings, self.layers, self.heads = embeddings, layers, heads
        self.epsilon = np.float32(epsilon)
        self.dim = len(embeddings["norm.bias"])

    def embedded(self, ids: np.ndarray) -> np.ndarray:
        """float32 [pieces, width]."""
        found: np.ndarray = self.embeddings["words"][ids]
        return found

    def states(self, rows: Sequence[list[int]]) -> list[np.ndarray]:
        """float32 [pieces, width] of each."""
        ids = np.concatenate([np.array(row, int) for row in rows])
        ends = np.cumsum([len(row) for row in rows])
        starts = np.concatenate([[0], ends[:-1]])
        places = np.arange(len(ids)) - np.repeat(starts, ends - starts)
        table = self.embeddings
        found = self.embedded(ids) + table["positions"][places] + table["types"][0]
        found = self.normalised(found, table, "norm")
        texts = [slice(*ends) for ends in zip(starts, ends, strict=True)]
        for layer in self.layers:
            found = self.layer(layer, found, texts)
        return [found[text] for text in texts]

    def layer(self, own: Layer, states: np.ndarray, texts: Sequence[slice]) -> np.ndarray:
        """[tokens of all texts, width], to the same."""
        seen = np.empty_like(states)
        # [3, heads, tokens, width of a head]
        parts = linear(own, "projections", states).reshape(len(states), 3, self.heads, -1)
        parts = parts.transpose(1, 2, 0, 3)
        for text in texts:
            seen[text] = attention(*parts[:, :, text]).transpose(1, 0, 2).reshape(-1, self.dim)
        states = self.normalised(states + linear(own, "out", seen), own, "norm1")
        inner = gelu(linear(own, "linear1", states))
        return self.normalised(states + linear(own, "linear2", inner), own, "norm2")

    def normalised(self, states: np.ndarray, own: Layer, name: str) -> np.ndarray:
        """Each row with mean 0 and variance 1, then scaled and moved, in place."""
        states -= states.mean(axis=1, keepdims=True)
        variance = np.einsum("td,td->t", states, states)[:, None] / states.shape[1]
        states *= 1 / np.sqrt(variance + self.epsilon)
        states *= own[f"{name}.weight"]
        states += own[f"{name}.bias"]
        return states


def linear(layer: Layer, name: str, states: np.ndarray) -> np.ndarray:
    found = states @ layer[f"{name}.weight"].T
    found += layer[f"{name}.bias"]
    return found


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """[heads, tokens, width of a head] of each."""
    weights = query @ key.transpose(0, 2, 1)
    weights *= query.shape[2] ** -0.5
    weights -= weights.max(axis=2, keepdims=True)
    np.exp(weights, out=weights)
    found: np.ndarray = weights @ value / weights.sum(axis=2, keepdims=True)
    return found


def gelu(numbers: np.ndarray) -> np.ndarray:
    """x Φ(x), in place and a part at a time: all of it at once leaves the cache."""
    flat = numbers.reshape(-1)
    for first in range(0, len(flat), PART):
        part = flat[first : first + PART]
        part *= normal_cdf(part)
    return numbers


def normal_cdf(numbers: np.ndarray) -> np.ndarray:
    """(1 + tanh(x P(x²))) / 2: NumPy has no error function."""
    squares = np.minimum(numbers * numbers, np.float32(36))
    total: np.ndarray = squares * np.float32(LOGIT[0])
    for factor in LOGIT[1:-1]:
        total += np.float32(factor)
        total *= squares
    total += np.float32(LOGIT[-1])
    total *= numbers
    np.tanh(total, out=total)
    total += 1
    total *= 0.5
    return total
