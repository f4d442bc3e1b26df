"""Pretrained text encoders of BERT's arithmetic, as transformers has them: a student's text tower starts from one.

The tower reads the teacher's tokens, so that each of its vectors stands for the same one. Layers and positions are the
encoder's own; each of the teacher's tokens gets the mean of the vectors of the pieces that the encoder's tokenizer cuts
its text into (fast vocabulary transfer, arXiv 2402.09977).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from collotype.families.retriever.backbones.text import MAX_TOKENS
from collotype.families.retriever.checkpoints.locations import TEXT_ENCODER
from collotype.runtime.errors import UserError
from collotype.runtime.model_folder import name_some, read_json, read_tokenizer, require_there
from collotype.runtime.tensor_files import read_tensors

ROBERTA = ("roberta", "xlm-roberta", "camembert")
"""They count positions from the one after the id of the padding token."""
MODEL_TYPES = ("bert", "distilbert", *ROBERTA)
KEY_RULES = (
    (r"^(bert|distilbert|roberta)\.", ""),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    # DistilBERT's names
    (r"^transformer\.layer\.", "encoder.layer."),
    (r"attention\.q_lin\.", "attention.self.query."),
    (r"attention\.k_lin\.", "attention.self.key."),
    (r"attention\.v_lin\.", "attention.self.value."),
    (r"attention\.out_lin\.", "attention.output.dense."),
    (r"\.sa_layer_norm\.", ".attention.output.LayerNorm."),
    (r"\.ffn\.lin1\.", ".intermediate.dense."),
    (r"\.ffn\.lin2\.", ".output.dense."),
    (r"\.output_layer_norm\.", ".output.LayerNorm."),
)
NOT_OF_THE_TOWER = re.compile(r"^(cls|lm_head|vocab_\w+|classifier|pre_classifier|pooler|qa_outputs)\.|position_ids$")
"""Heads, and a buffer of old versions."""
WORDS, POSITIONS, TYPES = (f"embeddings.{name}_embeddings.weight" for name in ("word", "position", "token_type"))
SIZES = {
    "vocab_size": WORDS,
    "max_position_embeddings": POSITIONS,
    "type_vocab_size": TYPES,
    "intermediate_size": "encoder.layer.0.intermediate.dense.bias",
}
"""Sizes by the weights that have them."""


@dataclass(frozen=True)
class TextEncoder:
    """An encoder on another tokenizer's vocabulary; `weights` are those of transformers' `BertModel`."""

    config: dict[str, Any]
    weights: Mapping[str, Tensor]
    events: tuple[dict[str, Any], ...]


def read(source: str, tokenizer: Tokenizer) -> TextEncoder:
    """
    Args:
        source: a folder, or a repository of the hub.
        tokenizer: whose tokens the words are to stand for.

    Raises:
        UserError: it is not there, is an encoder of another arithmetic, or its weights are missing or left over.
    """
    require_there(source)
    location = TEXT_ENCODER.locate(source)
    folder = location.fetch(TEXT_ENCODER.needed(location))
    values = full_config(folder)
    weights = bert_weights(folder, values)
    own = read_tokenizer(folder)
    own.no_truncation()
    own.no_padding()
    weights[WORDS], event = transferred(weights[WORDS], own, tokenizer)
    first = values["pad_token_id"] + 1 if values["model_type"] in ROBERTA else 0
    weights[POSITIONS] = lengthened(weights[POSITIONS][first:])
    text_config = {
        "hidden_size": values["hidden_size"],
        "num_hidden_layers": values["num_hidden_layers"],
        "num_attention_heads": values["num_attention_heads"],
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": values.get("layer_norm_eps", 1e-12),
        "pad_token_id": None,
        **{name: len(weights[key]) for name, key in SIZES.items()},
    }
    return TextEncoder({"text_config": text_config}, weights, ({**event, "weights": source},))


def full_config(folder: Path) -> dict[str, Any]:
    """`config.json` under BERT's names, with nothing left out.

    Raises:
        UserError: it describes an encoder of another arithmetic.
    """
    from transformers import CONFIG_MAPPING

    said = read_json(folder / "config.json")
    kind = said.get("model_type")
    if kind not in MODEL_TYPES:
        raise UserError(
            f"{folder / 'config.json'} describes a {kind!r} model, and a text tower starts from one of "
            f"{', '.join(MODEL_TYPES)}; give such an encoder in model.weights, or model.size for random weights."
        )
    try:
        config = CONFIG_MAPPING[kind].from_dict(said)
    except Exception as error:  # of several libraries that check its fields
        raise unusable(folder, error) from error
    values = {**config.to_dict(), **{name: getattr(config, name) for name in config.attribute_map}}
    # older configurations say how positions are embedded
    for name, expected in (("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
        found = values.get(name, values.get("activation", expected) if name == "hidden_act" else expected)
        if found != expected:
            raise UserError(
                f"{folder / 'config.json'} has {name} = {found!r}, and a text tower computes {expected!r} only; give "
                "another encoder in model.weights."
            )
    return values


def unusable(folder: Path, error: Exception) -> UserError:
    return UserError(
        f"{folder / 'config.json'} cannot be used ({' '.join(str(error).split())}); copy the folder again."
    )


def bert_weights(folder: Path, values: Mapping[str, Any]) -> dict[str, Tensor]:
    """All weights of its embeddings and layers by BERT's names, in float32.

    Raises:
        UserError: some are missing, left over, of another shape or not finite.
    """
    from transformers import BertConfig, BertModel

    tensors, found = read_tensors(folder), {}
    for name in tensors:
        key = name
        for pattern, replacement in KEY_RULES:
            key = re.sub(pattern, replacement, key)
        if not NOT_OF_THE_TOWER.search(key):
            found[key] = tensors[name].float()
    width = values["hidden_size"]
    if values["model_type"] == "distilbert":
        found[TYPES] = torch.zeros(1, width)
    shape = {name: values[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
    shape |= {name: len(found[key]) for name, key in SIZES.items() if key in found}
    try:
        with torch.device("meta"):
            expected = BertModel(BertConfig(**shape), add_pooling_layer=False).state_dict()
    except ValueError as error:
        raise unusable(folder, error) from error
    missing, left = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    other = sorted(name for name in expected.keys() & found.keys() if expected[name].shape != found[name].shape)
    if missing or left or other:
        raise UserError(
            f"The weights in {folder} do not fit its config.json (missing: {name_some(missing)}; left over: "
            f"{name_some(left)}; of another shape: {name_some(other)}); copy the folder again."
        )
    if broken := [name for name, tensor in found.items() if not tensor.is_meta and not tensor.isfinite().all()]:
        raise UserError(f"{folder} has weights that are not finite ({name_some(broken)}); copy the folder again.")
    return found


def transferred(words: Tensor, own: Tokenizer, other: Tokenizer) -> tuple[Tensor, dict[str, Any]]:
    """A table of words [V', H] for another tokenizer's tokens, from an encoder's own, [V, H]; and how many of them are
    one piece, several, or nothing that it has (a special token, a blank), which get the mean of the table. On
    the device `meta` it has its shape only.

    Raises:
        UserError: the encoder's tokenizer has tokens that its table lacks.
    """
    count = max(other.get_vocab().values()) + 1
    kind = "words start from the pieces of another vocabulary"
    if words.is_meta:
        return words.new_empty(count, words.shape[1]), {"kind": kind}
    special = {number for number, token in other.get_added_tokens_decoder().items() if token.special}
    numbers = [number for number in sorted(other.get_vocab().values()) if number not in special]
    texts = other.decode_batch([[number] for number in numbers], skip_special_tokens=False)
    pieces = [one.ids for one in own.encode_batch_fast(texts, add_special_tokens=False)]
    table = words.mean(0).repeat(count, 1)
    lengths = torch.tensor([*map(len, pieces)])
    flat = torch.tensor([piece for row in pieces for piece in row], dtype=torch.long)
    if len(flat):
        if (last := int(flat.max())) >= len(words):
            raise UserError(
                f"The text encoder's tokenizer.json has a token {last}, but the weights have only {len(words):,} "
                "tokens; copy both from the same model."
            )
        offsets = lengths.cumsum(0) - lengths
        means = torch.nn.functional.embedding_bag(flat, words, offsets, mode="mean")
        there = lengths > 0
        table[torch.tensor(numbers)[there]] = means[there]
    found = {"of one piece": int((lengths == 1).sum()), "of several": int((lengths > 1).sum())}
    return table, {"kind": kind, **found, "of none": count - sum(found.values())}


def lengthened(positions: Tensor) -> Tensor:
    """With room for every query: positions that the encoder does not have start from its last one."""
    return torch.cat([positions, positions[-1:].repeat(max(0, MAX_TOKENS - len(positions)), 1)])
