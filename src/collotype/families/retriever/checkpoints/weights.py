"""Weights of retrievers: named canonically, loaded strictly."""

import re
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from collotype.families.retriever.backbones.spec import BackboneSpec
from collotype.runtime import model_folder
from collotype.runtime.errors import UserError
from collotype.runtime.model_folder import name_some

NOT_RUN = re.compile(
    r"(^|\.)lm_head\.weight$|(^|\.)mtp\.|\.rotary_emb\.inv_freq$|\.embeddings\.position_ids$|(?<!vision_tower\.)vision_model\.head\."
)
"""Keys of published files that are no weights of a retriever: the LM head, the layer that predicts several tokens,
SigLIP's pooling, and tables made on the fly."""
MORE_ROWS = ".additional_embedding"
"""What a table of words is called whose last rows, those of added tokens, lie apart."""


def name_in_file(row: BackboneSpec, key: str) -> str:
    """The canonical name of a key of a model or of any published file: of an adapted layer, that of the plain one."""
    return row.canonical(re.sub(r"\.(base_layer|default)\.", ".", key))


def canonical(row: BackboneSpec, tensors: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    """The tensors that are weights of a retriever, under canonical names.

    Raises:
        UserError: two keys mean the same weight.
    """
    used = with_all_rows({key: tensor for key, tensor in tensors.items() if not NOT_RUN.search(key)})
    named = {name_in_file(row, key): tensor for key, tensor in used.items()}
    if len(named) < len(used):
        counts = Counter(name_in_file(row, key) for key in used)
        twice = [name for name, count in counts.items() if count > 1]
        raise UserError(f"{origin} holds {len(twice)} tensors under two names ({name_some(twice)}); remove one.")
    return named


def with_all_rows(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, tables of words that are in two parts made one."""
    apart = {key.replace(MORE_ROWS, ""): tensor for key, tensor in tensors.items() if MORE_ROWS in key}
    whole = {key: torch.cat([tensors[key], rows]) for key, rows in apart.items() if key in tensors}
    return {key: tensor for key, tensor in tensors.items() if key.replace(MORE_ROWS, "") not in whole} | whole


def load_strictly(model: nn.Module, row: BackboneSpec, given: Mapping[str, Tensor], origin: str) -> None:
    """Puts canonically named tensors in the place of the model's.

    Raises:
        UserError: keys are missing or left over, or a shape differs.
    """
    model_folder.load_strictly(model, given, origin, {key: name_in_file(row, key) for key in model.state_dict()})
