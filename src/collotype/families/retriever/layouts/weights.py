"""Weights in safetensors files: read whole, named canonically, loaded strictly."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from collotype.families.retriever.backbones.row import Backbone
from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_file

NOT_RUN = re.compile(r"(^|\.)lm_head\.weight$|\.rotary_emb\.inv_freq$|\.embeddings\.position_ids$")
"""Keys of published files that are no weights of a retriever: the LM head, and tables made on the fly."""


def read_tensors(folder: Path, stem: str = "model") -> dict[str, Tensor]:
    """The tensors of `STEM.safetensors`, or of the shards that its index names.

    Raises:
        UserError: there are none, a shard is missing, a file is damaged, or the weights are a pickle.
    """
    whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    try:
        if index.is_file():
            files = [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
        else:
            files = [whole]
        tensors: dict[str, Tensor] = {}
        for file in files:
            if not file.is_file():
                raise UserError(f"{folder} holds no {file.name}{pickled(folder)}; copy the folder again.")
            tensors |= load_file(file)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UserError(f"The weights in {folder} cannot be read ({error}); copy the folder again.") from error
    return tensors


def pickled(folder: Path) -> str:
    found = next((path.name for path in folder.glob("*.bin")), None)
    return f" ({found} is a pickle, which may run code and is never read: convert it to safetensors)" if found else ""


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
    state = model.state_dict()
    wanted = {name_in_file(row, key): key for key in state}
    missing, unexpected = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    if missing or unexpected:
        raise UserError(
            f"{origin} does not fit the model: {len(missing)} tensors are missing ({name_some(missing)}) and "
            f"{len(unexpected)} are unknown ({name_some(unexpected)})."
        )
    for name, key in wanted.items():
        if given[name].shape != state[key].shape:
            raise UserError(f"{origin}: {name} is {list(given[name].shape)}, the model's is {list(state[key].shape)}.")
    model.load_state_dict({key: given[name] for name, key in wanted.items()}, assign=True)


def name_some(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "") if keys else "none"


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Modules made within have parameters without memory, for weights that are to be loaded; buffers are real."""
    register = nn.Module.register_parameter

    def on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:
            parameter = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
        register(module, name, parameter)

    nn.Module.register_parameter = on_meta
    try:
        yield
    finally:
        nn.Module.register_parameter = register


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """One safetensors file, atomically."""
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with atomic_file(path) as scratch:
        save_file(plain, scratch, {"format": "pt"})
