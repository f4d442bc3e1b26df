"""Retrievers on disk: `collotype.json` (architecture and preset), `model.safetensors`, `tokenizer.json`.

Weights are read strictly: a key is used, converted by the backbone's rules, or named in the error.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from tokenizers import Tokenizer
from torch import Tensor

from collotype.families.retriever.backbones import BACKBONES
from collotype.families.retriever.model import Retriever, RetrieverConfig
from collotype.families.retriever.processor import Processor
from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_folder, write_bytes, write_json


def make_processor(config: RetrieverConfig, tokenizer: Tokenizer) -> Processor:
    row = BACKBONES[config.backbone]
    layout = row.layout(config.backbone_config, config.preset.max_visual_tokens)
    return Processor(tokenizer, config.preset, layout, row.image_token, row.pad_token, config.max_query_tokens)


def save_model(model: Retriever, folder: Path) -> None:
    """Writes the model under canonical key names, so that no version of transformers decides what is in the file."""
    tensors = {model.row.canonical(key): tensor.contiguous().cpu() for key, tensor in model.state_dict().items()}
    with atomic_folder(folder) as scratch:
        write_json(scratch / "collotype.json", model.config.to_dict())
        write_bytes(scratch / "model.safetensors", save(tensors, metadata={"format": "pt"}))
        model.processor.save(scratch)


def load_weights(model: Retriever, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Loads `tensors`, under any published key names, strictly.

    Raises:
        UserError: keys are missing or left over, or a shape differs.
    """
    given = {model.row.canonical(key): tensor for key, tensor in tensors.items()}
    if len(given) < len(tensors):
        twice = [name for name, count in Counter(map(model.row.canonical, tensors)).items() if count > 1]
        raise UserError(f"{origin} holds {len(twice)} tensors under two names ({name_some(twice)}); remove one.")
    state = model.state_dict()
    wanted = {model.row.canonical(key): key for key in state}
    missing, unexpected = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    if missing or unexpected:
        raise UserError(
            f"{origin} does not fit the model: {len(missing)} tensors are missing ({name_some(missing)}) and "
            f"{len(unexpected)} are unknown ({name_some(unexpected)})."
        )
    for name, key in wanted.items():
        if given[name].shape != state[key].shape:
            raise UserError(f"{origin}: {name} is {list(given[name].shape)}, the model's is {list(state[key].shape)}.")
    model.load_state_dict({key: given[name] for name, key in wanted.items()})


def name_some(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "") if keys else "none"


def load(folder: Path) -> Retriever:
    """The retriever saved in `folder`, in evaluation mode on the CPU."""
    try:
        config = RetrieverConfig.from_dict(json.loads((folder / "collotype.json").read_text()))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tensors = load_file(folder / "model.safetensors")
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise UserError(f"The model in {folder} is not whole: {error}; copy or train it again.") from error
    except Exception as error:  # the tokenizers library raises bare Exception for a file it cannot read
        raise UserError(f"The tokenizer in {folder} cannot be read: {error}; copy the folder again.") from error
    if config.backbone not in BACKBONES:
        known = ", ".join(BACKBONES)
        raise UserError(f"The model in {folder} has the backbone {config.backbone!r}; known are {known}.")
    model = Retriever(config, make_processor(config, tokenizer))
    load_weights(model, tensors, str(folder / "model.safetensors"))
    return model.eval()
