"""BERT (arXiv 1810.04805) for the words of pages, by onnxruntime.

Windows are computed one by one: without padding there is nothing to compute in vain, and a page's vectors do not depend
on what is computed beside it.
"""

import hashlib
import importlib.util
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from collotype.runtime.errors import UserError
from collotype.search.encoders.onnx_graph import CONTRIBUTED, Graph

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

WINDOW = 192
"""Word pieces read together; MiniLM was trained with up to 256, E5 with up to 512."""
MOST_PIECES = 32
"""Of a word, so that a window ends in time: what is longer is no word."""
EPSILON = 1e-12
"""Of layer norms."""
STEPS = 63
"""Weights of 8 bits are up to this: with more, sums of two products overflow the 16 bits that AVX2 has for them."""

T = TypeVar("T")
R = TypeVar("R")
Layer = dict[str, np.ndarray]


@dataclass(frozen=True)
class Cut:
    """A text in pieces."""

    units: list[list[int]]
    """Pieces that a window has all or none of, a word's."""
    count: int
    """Of terms."""
    terms: np.ndarray
    """int [pairs]: the terms that pieces are of, ascending."""
    pieces: np.ndarray
    """int [pairs]: which piece of the text."""


class Bert(ABC):
    """
    Args:
        embeddings: "words" [pieces, width], "positions", "types", "norm.weight", "norm.bias".
        layers: as `block` names their weights.
        start, end: the pieces before and after a window's.
        eight_bits: compute products of matrices in whole numbers of 8 bits, twice as fast.

    Raises:
        UserError: onnxruntime is not installed.
    """

    centre: np.ndarray | np.floating = np.float32(0)
    """What the vectors of all pieces have in common, which is taken away."""

    def __init__(
        self, embeddings: Layer, layers: list[Layer], heads: int, start: Sequence[int], end: int, eight_bits: bool
    ) -> None:
        self.embeddings, self.start, self.end = embeddings, start, end
        self.dim = len(embeddings["norm.bias"])
        self.digest = digest((embeddings, *layers))
        self.session = opened(network(embeddings, layers, heads, eight_bits))

    @abstractmethod
    def cut(self, words: Sequence[str]) -> Cut:
        """Words in pieces; their terms are those of `runtime.terms`, word by word."""

    def vectors(self, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Of the terms of each text's words, in their context: the sum over a term's pieces, float32 [terms, width]."""
        cuts = [self.cut(words) for words in texts]
        windows = [(number, pieces) for number, cut in enumerate(cuts) for pieces in windowed(cut.units)]
        states = at_once(self.states, [pieces for _, pieces in windows])
        of_text: list[list[np.ndarray]] = [[] for _ in texts]
        for (number, _), own in zip(windows, states, strict=True):
            of_text[number].append(own[len(self.start) : -1])
        return [self.summed(*own) for own in zip(cuts, of_text, strict=True)]

    def summed(self, cut: Cut, states: Sequence[np.ndarray]) -> np.ndarray:
        found = np.zeros((cut.count, self.dim), np.float32)
        if len(cut.terms):
            starts = np.flatnonzero(np.diff(cut.terms, prepend=-1))
            found[cut.terms[starts]] = np.add.reduceat(np.concatenate(states)[cut.pieces], starts)
            found[cut.terms[starts]] -= np.diff(starts, append=len(cut.pieces))[:, None] * self.centre
        return found

    def embedded(self, ids: np.ndarray) -> np.ndarray:
        """float32 [pieces, width]."""
        found: np.ndarray = self.embeddings["words"][ids]
        return found

    def states(self, pieces: Sequence[int]) -> np.ndarray:
        """float32 [pieces, width] of a window, with those before and after it."""
        ids = np.array([*self.start, *pieces, self.end])
        found = self.embedded(ids) + self.embeddings["positions"][: len(ids)] + self.embeddings["types"][0]
        states: np.ndarray = self.session.run(None, {INPUT: found[None]})[0][0]
        return states


INPUT = "input"


def network(embeddings: Layer, layers: Sequence[Layer], heads: int, eight_bits: bool) -> bytes:
    """From the sum of a window's embeddings to the last layer's states, in the format of ONNX."""
    graph = Graph()
    states = norm(graph, embeddings, "norm", INPUT)
    for layer in layers:
        states = block(graph, layer, states, heads, whole_linear if eight_bits else linear)
    return graph.model(INPUT, states, len(embeddings["norm.bias"]))


def block(graph: Graph, layer: Layer, states: str, heads: int, linear: Callable[[Graph, Layer, str, str], str]) -> str:
    parts = graph.nodes("Split", [linear(graph, layer, "projections", states)], 3, axis=-1, num_outputs=3)
    seen = graph.node("MultiHeadAttention", parts, CONTRIBUTED, num_heads=heads)
    states = norm(graph, layer, "norm1", graph.node("Add", [states, linear(graph, layer, "out", seen)]))
    inner = graph.node("Gelu", [linear(graph, layer, "linear1", states)], CONTRIBUTED)
    return norm(graph, layer, "norm2", graph.node("Add", [states, linear(graph, layer, "linear2", inner)]))


def norm(graph: Graph, layer: Layer, name: str, states: str) -> str:
    weights = [graph.constant(layer[f"{name}.{kind}"]) for kind in ("weight", "bias")]
    return graph.node("LayerNormalization", [states, *weights], epsilon=EPSILON)


def linear(graph: Graph, layer: Layer, name: str, states: str) -> str:
    found = graph.node("MatMul", [states, graph.constant(layer[f"{name}.weight"].T)])
    return graph.node("Add", [found, graph.constant(layer[f"{name}.bias"])])


def whole_linear(graph: Graph, layer: Layer, name: str, states: str) -> str:
    """With weights in steps of their output's own, and states in steps of their window's."""
    weights, bias = layer[f"{name}.weight"].T, layer[f"{name}.bias"]
    step = np.abs(weights).max(axis=0) / np.float32(STEPS)
    parts = (np.rint(weights / step).astype(np.int8), step, np.zeros(len(step), np.int8), bias)
    return graph.node("DynamicQuantizeMatMul", [states, *map(graph.constant, parts)], CONTRIBUTED)


def opened(network: bytes) -> "InferenceSession":
    """
    Raises:
        UserError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"The reader needs onnxruntime, which cannot be imported ({error}); install the extra with "
            "pip install 'collotype[reader]'."
        ) from error
    options = onnxruntime.SessionOptions()
    # windows share the cores, each on a thread
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # further ones join sums and layer norms, which then take six times as long: findings/onnxruntime_layer_norm.sh
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(network, options, ["CPUExecutionProvider"])


def digest(parts: Iterable[Layer]) -> str:
    content = hashlib.sha256()
    for part in parts:
        for name, weights in part.items():
            content.update(name.encode())
            content.update(np.ascontiguousarray(weights).data)
    return content.hexdigest()


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
