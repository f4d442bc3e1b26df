"""What was written, read again: its vectors have to be the model's."""

from pathlib import Path

import torch
from PIL import Image

from collotype.families.retriever.checkpoints import adapter, engine, sentence_transformers, transformers_native
from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint
from collotype.families.retriever.model import Retriever
from collotype.runtime.errors import UserError

ROUNDING = 1e-4
"""How far a merged adapter may be from the same one beside its base; anything else is equal."""
PAGE_PX = (310, 220)


def verify(model: Retriever, layout: str, folder: Path) -> list[str]:
    """Sentences that say how a folder just written compares with the model.

    Raises:
        UserError: it gives other vectors.
    """
    found = read_again(model, layout, folder).model(next(model.parameters()).dtype)
    pairs = zip(probe(model, model), probe(model, found), strict=True)
    difference = max(float((one - other).abs().max()) if one.shape == other.shape else 2.0 for one, other in pairs)
    if difference > ROUNDING:
        raise UserError(
            f"What was written as {layout} gives vectors that differ from the model's by {difference:.2g}, so it is "
            "not kept; convert to another layout, and report the model's backbone and preset."
        )
    said = [f"read again, a page and a query have the same vectors (largest difference {difference:.1g})"]
    return said + tokenizer_warning(model, folder)


def read_again(model: Retriever, layout: str, folder: Path) -> RetrieverCheckpoint:
    preset = model.config.preset
    if layout == "adapter":
        return adapter.read(folder / "adapter", engine.read(folder / "base", preset, to_train=True))
    if layout == "transformers":
        return transformers_native.read(folder)
    if layout == "sentence-transformers":
        return sentence_transformers.read(folder, None)
    return engine.read(folder, preset)


def probe(model: Retriever, other: Retriever) -> list[torch.Tensor]:
    """Vectors of a drawn page, and of a query of words that the first model's vocabulary has, by the other model."""
    page = Image.radial_gradient("L").resize(PAGE_PX).convert("RGB")
    return [*other.encode_pages([page]), *other.encode_queries([" ".join(words_of(model))])]


def words_of(model: Retriever, count: int = 3) -> list[str]:
    tokens = sorted(model.processor.tokenizer.get_vocab())
    return [token for token in tokens if token.isascii() and token.isalpha()][:count] or ["a"]


def tokenizer_warning(model: Retriever, folder: Path) -> list[str]:
    """transformers picks a tokenizer's class by the model's type, and some classes make another of the same file."""
    from transformers import AutoTokenizer

    place, text = folder / "base" if (folder / "base").is_dir() else folder, " ".join(words_of(model))
    theirs = AutoTokenizer.from_pretrained(place)(text, add_special_tokens=False)["input_ids"]
    ours = model.processor.tokenizer.encode(text, add_special_tokens=False).ids
    if theirs == ours:
        return []
    return [
        f"transformers' AutoTokenizer makes {theirs} of {text!r} where this model's makes {ours}: the classes of "
        f"{model.row.model_type} cannot hold its vocabulary, so only collotype reads this folder rightly"
    ]
