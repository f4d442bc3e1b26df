"""A model's folder: its JSON, its tokenizer and its weights in safetensors files, read whole and strictly."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DESCRIPTION = "collotype.json"
"""What our own layout says of a model, its family first."""


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


def read_tokenizer(folder: Path) -> "Tokenizer":
    """
    Raises:
        UserError: there is no readable tokenizer.json.
    """
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the tokenizers library raises bare Exception for a file it cannot read
        raise UserError(f"{folder / 'tokenizer.json'} cannot be read ({error}); copy the folder again.") from error


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


def load_strictly(model: nn.Module, given: Mapping[str, Tensor], origin: str, names: Mapping[str, str]) -> None:
    """Puts the given tensors in the place of the model's.

    Args:
        names: key of the model's state -> name of the tensor that it is.

    Raises:
        UserError: tensors are missing or left over, or a shape differs.
    """
    state, wanted = model.state_dict(), set(names.values())
    missing, unexpected = sorted(wanted - set(given)), sorted(set(given) - wanted)
    if missing or unexpected:
        raise UserError(
            f"{origin} does not fit the model: {len(missing)} tensors are missing ({name_some(missing)}) and "
            f"{len(unexpected)} are unknown ({name_some(unexpected)})."
        )
    for key, name in names.items():
        if given[name].shape != state[key].shape:
            raise UserError(f"{origin}: {name} is {list(given[name].shape)}, the model's is {list(state[key].shape)}.")
    model.load_state_dict({key: given[name] for key, name in names.items()}, assign=True)


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
