"""BERT (arXiv 1810.04805) over the terms of texts, in NumPy.

Texts are computed one after the other: without padding there is nothing to compute in vain and nothing to mask, and
without torch or transformers a query is answered before these are imported.
"""

import hashlib
import importlib.util
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from collotype.runtime.errors import UserError

WINDOW = 192
"""Word pieces read together; MiniLM was trained with up to 256, E5 with up to 512."""
MOST_PIECES = 32
"""Of a word, so that a window ends in time: what is longer is no word."""
BATCH_TOKENS = 512
"""Of a forward pass: with more of them a layer's numbers leave the cache."""
PART = 2**15
"""Numbers of an activation computed together."""
LOGIT = (1.8699543e-09, -1.3637198e-07, 4.0177792e-06, -5.5611676e-05, -3.1795145e-05, 0.036332228, 0.79788521)
"""P, fitted by least squares for x up to 6: the error of x Φ(x) is below 1e-7 there."""

T, R = TypeVar("T"), TypeVar("R")
Layer = dict[str, np.ndarray]


class Cut(NamedTuple):
    """A text in pieces."""

    units: list[list[int]]
    """Pieces that a window has all or none of, a word's."""
    count: int
    """Of terms."""
    terms: np.ndarray
    """int [pairs]: the terms that pieces are of, ascending."""
    pieces: np.ndarray
    """int [pairs]: which piece of the text."""


class Tower:
    """
    Args:
        embeddings: "words" [pieces, width], "positions", "types", "norm.weight", "norm.bias".
        layers: as `layer` names their weights.
    """

    def __init__(self, embeddings: Layer, layers: list[Layer], heads: int) -> None:
        self.embeddings, self.layers, self.heads = embeddings, layers, heads
        self.dim = len(embeddings["norm.bias"])

    def embedded(self, ids: np.ndarray) -> np.ndarray:
        """float32 [pieces, width]."""
        return self.embeddings["words"][ids]

    def states(self, rows: Sequence[list[int]]) -> list[np.ndarray]:
        """float32 [pieces, width] of each."""
        ids = np.concatenate([np.array(row, int) for row in rows])
        ends = np.cumsum([len(row) for row in rows])
        starts = np.concatenate([[0], ends[:-1]])
        places = np.arange(len(ids)) - np.repeat(starts, ends - starts)
        table = self.embeddings
        found = self.embedded(ids) + table["positions"][places] + table["types"][0]
        found = normalised(found, table["norm.weight"], table["norm.bias"])
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
        states = normalised(states + linear(own, "out", seen), own["norm1.weight"], own["norm1.bias"])
        inner = gelu(linear(own, "linear1", states))
        return normalised(states + linear(own, "linear2", inner), own["norm2.weight"], own["norm2.bias"])


class Bert(Tower, ABC):
    """
    Args:
        start, end: the pieces before and after a window's.
    """

    centre: np.ndarray | np.floating = np.float32(0)
    """What the vectors of all pieces have in common, which is taken away."""

    def __init__(self, embeddings: Layer, layers: list[Layer], heads: int, start: Sequence[int], end: int) -> None:
        super().__init__(embeddings, layers, heads)
        self.start, self.end = start, end

    @abstractmethod
    def cut(self, words: Sequence[str]) -> Cut:
        """Words in pieces; their terms are those of `runtime.terms`, word by word."""

    def digest(self) -> str:
        content = hashlib.sha256()
        for part in (self.embeddings, *self.layers):
            for name, weights in part.items():
                content.update(name.encode())
                content.update(np.ascontiguousarray(weights))
        return content.hexdigest()

    def vectors(self, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Of the terms of each text's words, in their context: the sum over a term's pieces, float32 [terms, width]."""
        cuts = [self.cut(words) for words in texts]
        windows = [(number, pieces) for number, cut in enumerate(cuts) for pieces in windowed(cut.units)]
        states = at_once(self.forward, [[pieces for _, pieces in some] for some in batches(windows)])
        of_text: list[list[np.ndarray]] = [[] for _ in texts]
        for (number, _), own in zip(windows, chain.from_iterable(states), strict=True):
            of_text[number].append(own)
        return [self.summed(*own) for own in zip(cuts, of_text, strict=True)]

    def summed(self, cut: Cut, states: Sequence[np.ndarray]) -> np.ndarray:
        found = np.zeros((cut.count, self.dim), np.float32)
        if len(cut.terms):
            starts = np.flatnonzero(np.diff(cut.terms, prepend=-1))
            found[cut.terms[starts]] = np.add.reduceat(np.concatenate(states)[cut.pieces], starts)
            found[cut.terms[starts]] -= np.diff(starts, append=len(cut.pieces))[:, None] * self.centre
        return found

    def forward(self, pieces: Sequence[list[int]]) -> list[np.ndarray]:
        """float32 [pieces, width] of each row, without those before and after it."""
        found = self.states([[*self.start, *own, self.end] for own in pieces])
        return [states[len(self.start) : -1] for states in found]


def package_folder(module: str, reader: str, package: str, extra: str) -> Path:
    """Where a package with a model lies; its code is not run.

    Raises:
        UserError: it is not installed.
    """
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise UserError(
            f"The {reader} needs the package {package}, which is not installed; install the extra with "
            f"pip install 'collotype[{extra}]'."
        )
    return Path(found.origin).parent


def at_once(compute: Callable[[T], R], parts: Sequence[T]) -> Iterable[R]:
    """On a thread for each core: NumPy lets others run while it computes."""
    if len(parts) < 2:
        return [compute(part) for part in parts]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compute, parts))


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
    return weights @ value / weights.sum(axis=2, keepdims=True)


def normalised(states: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Each row with mean 0 and variance 1, then scaled and moved: the model's epsilon, 1e-12, is not a float32."""
    states -= states.mean(axis=1, keepdims=True)
    states *= 1 / np.sqrt(np.einsum("td,td->t", states, states)[:, None] / states.shape[1])
    states *= weight
    states += bias
    return states


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
    total = squares * np.float32(LOGIT[0])
    for factor in LOGIT[1:-1]:
        total += np.float32(factor)
        total *= squares
    total += np.float32(LOGIT[-1])
    total *= numbers
    np.tanh(total, out=total)
    total += 1
    total *= 0.5
    return total


def batches(windows: Sequence[tuple[Any, list[int]]]) -> Iterable[Sequence[tuple[Any, list[int]]]]:
    """Windows, BATCH_TOKENS word pieces together or one."""
    ends = np.cumsum([len(pieces) for _, pieces in windows])
    first = 0
    while first < len(windows):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + BATCH_TOKENS, side="right")))
        yield windows[first:last]
        first = last


def windowed(units: Sequence[Sequence[int]]) -> list[list[int]]:
    """The pieces of units in windows, as few as there can be and about as long."""
    total = sum(map(len, units))
    goal = total / max(1, -(-total // (WINDOW - MOST_PIECES)))
    windows: list[list[int]] = []
    done = 0
    for pieces in units:
        if done >= goal * len(windows):
            windows.append([])
        windows[-1].extend(pieces)
        done += len(pieces)
    return windows
