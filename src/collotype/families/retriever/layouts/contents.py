"""What a published folder holds, in our terms, and the model made of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from collotype.families.retriever.backbones import BACKBONES, Backbone
from collotype.families.retriever.layouts.weights import load_strictly, parameters_on_meta
from collotype.families.retriever.lora import add_lora
from collotype.families.retriever.model import Retriever, RetrieverConfig
from collotype.families.retriever.processor import Processor
from collotype.runtime.errors import UserError


@dataclass(frozen=True)
class Contents:
    """A retriever as it lies in a folder; `tensors` have canonical names and the types of the file."""

    config: RetrieverConfig
    tokenizer: Tokenizer
    tensors: Mapping[str, Tensor]
    origin: str

    def model(self, dtype: torch.dtype | None = torch.float32) -> Retriever:
        """The model in evaluation mode, on the CPU, in `dtype` (none: as in the file).

        Raises:
            UserError: weights are missing or left over.
        """
        with parameters_on_meta():
            model = Retriever(self.config, make_processor(self.config, self.tokenizer))
            if self.config.lora:
                add_lora(model, self.config.lora)
        given = {name: tensor.to(dtype) if dtype else tensor for name, tensor in self.tensors.items()}
        load_strictly(model, model.row, given, self.origin)
        return model.eval()


def make_processor(config: RetrieverConfig, tokenizer: Tokenizer) -> Processor:
    row = BACKBONES[config.backbone]
    layout = row.layout(config.backbone_config, config.preset.max_visual_tokens)
    return Processor(tokenizer, config.preset, layout, row.image_token, row.pad_token, config.max_query_tokens)


def read_json(path: Path) -> dict[str, Any]:
    """
    Raises:
        UserError: no such file, or no JSON object in it.
    """
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); copy the model's folder again.") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no JSON object; copy the model's folder again.")
    return values


def read_tokenizer(folder: Path) -> Tokenizer:
    """
    Raises:
        UserError: there is no readable tokenizer.json.
    """
    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the tokenizers library raises bare Exception for a file it cannot read
        raise UserError(f"{folder / 'tokenizer.json'} cannot be read ({error}); copy the folder again.") from error


def read_backbone(values: dict[str, Any], origin: Path) -> tuple[Backbone, dict[str, Any]]:
    """The row of a transformers configuration of any age, and that configuration with nothing left out.

    Raises:
        UserError: it is of another kind of model.
    """
    rows = {row.model_type: row for row in BACKBONES.values()}
    kind = values.get("model_type")
    if kind not in rows:
        raise UserError(f"{origin} describes a {kind!r} model; a retriever's backbone is one of {', '.join(rows)}.")
    from transformers import CONFIG_MAPPING

    return rows[kind], CONFIG_MAPPING[kind].from_dict(values).to_dict()
