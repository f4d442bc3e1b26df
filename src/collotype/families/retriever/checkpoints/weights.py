"""Weights of retrievers under canonical names."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from collotype.families.retriever.backbones.spec import BackboneSpec
from collotype.runtime.tensor_files import only_once
from collotype.runtime.weights import Weights

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


def canonical(row: BackboneSpec, tensors: Mapping[str, Tensor], origin: str) -> Weights:
    """The tensors that are weights of a retriever, under canonical names.

    Raises:
        UserError: two keys mean the same weight.
    """
    given = Weights.of(tensors)
    used = with_all_rows(given.without(key for key in given if NOT_RUN.search(key)))
    names = {key: name_in_file(row, key) for key in used}
    only_once(names, origin)
    return used.named(names)


def with_all_rows(tensors: Weights) -> Weights:
    """The tensors, tables of words that are in two parts made one."""
    apart = {key.replace(MORE_ROWS, ""): key for key in tensors if MORE_ROWS in key}
    whole = {key: torch.cat([tensors[key], tensors[rows]]) for key, rows in apart.items() if key in tensors}
    return tensors.without(apart[key] for key in whole) | whole
