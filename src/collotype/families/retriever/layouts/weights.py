"""Weights of retrievers: named canonically, loaded strictly."""

import re
from collections import Counter
from collections.abc import Mapping

from torch import Tensor, nn

from collotype.families.retriever.backbones.row import Backbone
from collotype.runtime import model_folder
from collotype.runtime.errors import UserError
from collotype.runtime.model_folder import name_some

NOT_RUN = re.compile(r"(^|\.)lm_head\.weight$|\.rotary_emb\.inv_freq$|\.embeddings\.position_ids$")
"""Keys of published files that are no weights of a retriever: the LM head, and tables made on the fly."""


def name_in_file(row: Backbone, key: str) -> str:
    """The canonical name of a key of a model or of any published file: of an adapted layer, that of the plain one."""
    return row.canonical(re.sub(r"\.(base_layer|default)\.", ".", key))


def canonical(row: Backbone, tensors: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    """The tensors that are weights of a retriever, under canonical names.

    Raises:
        UserError: two keys mean the same weight.
    """
    used = {key: tensor for key, tensor in tensors.items() if not NOT_RUN.search(key)}
    named = {name_in_file(row, key): tensor for key, tensor in used.items()}
    if len(named) < len(used):
        counts = Counter(name_in_file(row, key) for key in used)
        twice = [name for name, count in counts.items() if count > 1]
        raise UserError(f"{origin} holds {len(twice)} tensors under two names ({name_some(twice)}); remove one.")
    return named


def load_strictly(model: nn.Module, row: Backbone, given: Mapping[str, Tensor], origin: str) -> None:
    """Puts canonically named tensors in the place of the model's.

    Raises:
        UserError: keys are missing or left over, or a shape differs.
    """
    model_folder.load_strictly(model, given, origin, {key: name_in_file(row, key) for key in model.state_dict()})
