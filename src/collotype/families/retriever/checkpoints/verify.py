"""Checks an exported model: it is read back, and its vectors must be equal."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from collotype.families.retriever.backbones import BACKBONES
from collotype.families.retriever.checkpoints import adapter, colpali_engine, sentence_transformers, transformers_native
from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint, read_backbone
from collotype.families.retriever.checkpoints.weights import canonical
from collotype.families.retriever.config import RetrieverConfig
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.processor import Processor, make_processor
from collotype.runtime.errors import UserError

ROUNDING = 1e-4
"""How far a merged adapter may be from the same one beside its base; anything else is equal."""
ROUNDING_IN_HALF = 0.05
SAME = "after reading it back, a page and a query have the same vectors"
ORIGIN = ("architectures", "dtype", "torch_dtype", "transformers_version", "_name_or_path", "type", "is_causal")
"""In a configuration: of the file, not of the model; and what `rope_type` and the preset say again."""
PAGE_PX = (310, 220)


def verify(model: Retriever, layout: str, folder: Path) -> list[str]:
    """Sentences that say how a folder just written compares with the model. A model in half precision, which is large
    and slow here, has the same vectors where all that decides them is equal.

    Raises:
        UserError: it gives other vectors.
    """
    read = read_again(model, layout, folder)
    if model.held_in and all_equal(model, read):
        return [SAME + " (weights, settings and inputs are equal)", *tokenizer_warning(model, folder)]
    dtype = next(model.parameters()).dtype
    found = read.model(dtype)
    pairs = zip(probe(model, model), probe(model, found), strict=True)
    difference = max(float((one - other).abs().max()) if one.shape == other.shape else 2.0 for one, other in pairs)
    if difference > (ROUNDING_IN_HALF if model.held_in else ROUNDING):
        raise UserError(
            f"The model written as {layout} gives vectors that differ by {difference:.2g}, so it was deleted; convert "
            "to another layout, and report the model's backbone and preset."
        )
    return [f"{SAME} (largest difference {difference:.1g})", *tokenizer_warning(model, folder)]


def all_equal(model: Retriever, other: RetrieverCheckpoint) -> bool:
    """Are settings, what becomes of a page and a query, and every weight the same?"""
    ours, theirs = model.processor, make_processor(other.config, other.tokenizer)
    if settings_of(model.config) != settings_of(other.config) or not alike(inputs_of(ours), inputs_of(theirs)):
        return False
    weights = canonical(model.row, model.state_dict(), "the model")
    return set(weights) == set(other.tensors) and all(torch.equal(weights[key], other.tensors[key]) for key in weights)


def settings_of(config: RetrieverConfig) -> dict[str, Any]:
    """What decides a vector, without what only tells where a file comes from."""
    row, values = BACKBONES[config.backbone], config.to_dict()
    _, backbone = read_backbone({**config.backbone_config, "model_type": row.model_type}, Path("the model"))
    values["preset"].pop("name")
    if config.interaction == "late":
        values.pop("pooling")
    return {**values, "backbone_config": without_origin(backbone)}


def without_origin(values: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in values.items() if key not in ORIGIN}
    return {key: without_origin(value) if isinstance(value, dict) else value for key, value in kept.items()}


def inputs_of(processor: Processor) -> list[dict[str, torch.Tensor]]:
    return [processor.pages([drawn_page()]), processor.queries([" ".join(words_of(processor))])]


def alike(one: list[dict[str, torch.Tensor]], other: list[dict[str, torch.Tensor]]) -> bool:
    return all(
        set(left) == set(right) and all(torch.equal(left[name], right[name]) for name in left)
        for left, right in zip(one, other, strict=True)
    )


def read_again(model: Retriever, layout: str, folder: Path) -> RetrieverCheckpoint:
    preset = model.config.preset
    if layout == "adapter":
        return adapter.read(folder / "adapter", colpali_engine.read(folder / "base", preset, to_train=True))
    if layout == "transformers":
        return transformers_native.read(folder)
    if layout == "sentence-transformers":
        return sentence_transformers.read(folder, None)
    return colpali_engine.read(folder, preset)


def probe(model: Retriever, other: Retriever) -> list[torch.Tensor]:
    """Vectors of a drawn page, and of a query of words that the first model's vocabulary has, by the other model."""
    return [*other.encode_pages([drawn_page()]), *other.encode_queries([" ".join(words_of(model.processor))])]


def drawn_page() -> Image.Image:
    return Image.radial_gradient("L").resize(PAGE_PX).convert("RGB")


def words_of(processor: Processor, count: int = 3) -> list[str]:
    tokens = sorted(processor.tokenizer.get_vocab())
    return [token for token in tokens if token.isascii() and token.isalpha()][:count] or ["a"]


def tokenizer_warning(model: Retriever, folder: Path) -> list[str]:
    """transformers picks a tokenizer's class by the model's type, and some classes make another of the same file."""
    from transformers import AutoTokenizer

    place, text = folder / "base" if (folder / "base").is_dir() else folder, " ".join(words_of(model.processor))
    theirs = AutoTokenizer.from_pretrained(place)(text, add_special_tokens=False)["input_ids"]
    ours = model.processor.tokenizer.encode(text, add_special_tokens=False).ids
    if theirs == ours:
        return []
    return [
        f"transformers' AutoTokenizer makes {theirs} of {text!r}, but this model's tokenizer makes {ours}: the classes "
        f"of {model.row.model_type} cannot hold its vocabulary, so only Collotype reads this folder correctly"
    ]
