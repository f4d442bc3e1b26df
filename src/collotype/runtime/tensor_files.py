"""A model's weights in its folder: safetensors files, read whole and strictly."""

import json
import pickle
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from collotype.runtime.dry_run import is_dry
from collotype.runtime.errors import UserError, first_line
from collotype.runtime.files import atomic_file, write_json
from collotype.runtime.model_folder import name_some
from collotype.runtime.stage_messages import in_gb, stage
from collotype.runtime.weights import Weights

WRAPPERS = re.compile(r"^(module\.|_orig_mod\.)+|(?<=\.)_orig_mod\.")
"""What DDP and torch.compile put before keys."""
SHARD = 4_900_000_000
"""Bytes of weights in a file at most: what is written is under 5 GB, as published folders are."""


def read_tensors(folder: Path, stem: str = "model") -> Weights:
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
        tensors = Weights({})
        for file in files:
            if not file.is_file():
                raise UserError(f"{folder} contains no {file.name}{pickled(folder)}; copy the folder again.")
            tensors |= Weights.in_file(file)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UserError(f"The weights in {folder} cannot be read ({error}); copy the folder again.") from error
    return tensors


def pickled(folder: Path) -> str:
    found = next((path.name for path in folder.glob("*.bin")), None)
    return f" ({found} is a pickle, which may run code and is never read: convert it to safetensors)" if found else ""


def read_state(
    file: Path, under: Sequence[str] = ("state_dict",), harmless: Sequence[type] = ()
) -> Mapping[str, Tensor]:
    """The state dict of a safetensors file, or of a pickle that is read as tensors only and can run no code.

    Args:
        under: where in a training checkpoint it may be, the first that is there; else the file is a state dict itself.
        harmless: types beside tensors and numbers that such a checkpoint may hold, which run no code when made.

    Raises:
        UserError: the file is damaged, or holds something else.
    """
    try:
        if file.suffix == ".safetensors":
            return Weights.in_file(file)
        with torch.serialization.safe_globals(list(harmless)):
            place = "meta" if is_dry() else "cpu"
            values = torch.load(file, place, weights_only=True, mmap=zipfile.is_zipfile(file))
    except (pickle.UnpicklingError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "TorchScript" not in str(error):
            raise damaged(file, error) from error
        raise holds_code(file, isinstance(error, RuntimeError), under[0]) from error
    except Exception as error:  # whatever the bytes of a damaged file make the reader stumble over
        raise damaged(file, error) from error
    found = [name for name in under if isinstance(values, Mapping) and name in values]
    state = values[found[0]] if found else values
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(
            f"{file} contains no state dict of tensors; give a checkpoint with `{'` or `'.join(under)}`, or a bare "
            "state dict."
        )
    return dict(state)


def holds_code(file: Path, is_script: bool, member: str) -> UserError:
    """With the command that makes of it what is read here."""
    load = f"torch.jit.load('{file}', 'cpu').state_dict()"
    if not is_script:
        load = f"torch.load('{file}', 'cpu', weights_only=False)['{member}']"
    target = file.with_suffix(".safetensors").name
    what = "is a program (TorchScript)" if is_script else "holds more than tensors"
    return UserError(
        f"{file} {what}, and loading that could run code; if you trust it, convert it and give {target}: python -c "
        f'"import torch; from safetensors.torch import save_file; save_file({{k: v.contiguous() for k, v in {load}'
        f".items()}}, '{target}')\""
    )


def damaged(file: Path, error: Exception) -> UserError:
    return UserError(f"The weights in {file} cannot be read ({first_line(error)}); copy the file again.")


def only_once(named: Mapping[str, str], origin: str) -> None:
    """
    Args:
        named: key of a file -> what it means.

    Raises:
        UserError: two keys mean the same weight.
    """
    twice = [name for name, count in Counter(named.values()).items() if count > 1]
    if twice:
        raise UserError(
            f"{origin} contains {len(twice)} tensors under two names ({name_some(twice)}); remove one of each."
        )


def load_strictly(
    model: nn.Module,
    given: Mapping[str, Tensor],
    origin: str,
    names: Mapping[str, str],
    dtype: torch.dtype | None = None,
    otherwise: Callable[[], str] = lambda: "copy it again, or give the file that belongs to its config",
) -> None:
    """Puts the given tensors in the place of the model's, in `dtype` (none: as they are); none is read before all fit.

    Args:
        names: key of the model's state -> name of the tensor that it is.
        otherwise: says what to do where names do not fit.

    Raises:
        UserError: tensors are missing or left over, or a shape differs.
    """
    given, state, wanted = Weights.of(given), model.state_dict(), set(names.values())
    missing, unexpected = sorted(wanted - set(given)), sorted(set(given) - wanted)
    if missing or unexpected:
        raise UserError(
            f"{origin} does not fit the model: {len(missing)} tensors are missing ({name_some(missing)}) and "
            f"{len(unexpected)} are unknown ({name_some(unexpected)}); {otherwise()}."
        )
    for key, name in names.items():
        if given.shapes[name] != state[key].shape:
            raise UserError(
                f"{origin}: {name} has the shape {list(given.shapes[name])}, but the model's has "
                f"{list(state[key].shape)}."
            )
    with stage(f"reading {in_gb(given.nbytes)} of weights"):
        model.load_state_dict({key: given.to(name, dtype) for key, name in names.items()}, assign=True)


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Modules made within have parameters without memory, for weights that are to be loaded; buffers are real."""
    register = nn.Module.register_parameter

    def on_meta(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None and not param.is_meta:
            param = nn.Parameter(param.to("meta"), requires_grad=param.requires_grad)
        register(self, name, param)

    nn.Module.register_parameter = on_meta  # type: ignore[method-assign]  # for the time of the block
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def write_weights(tensors: Mapping[str, Tensor], folder: Path, stem: str = "model") -> None:
    """`STEM.safetensors`, or, of more than SHARD bytes, shards and their index, as transformers reads them."""
    from huggingface_hub import split_torch_state_dict_into_shards

    wanted = {name: tensor.detach() for name, tensor in tensors.items()}
    split = split_torch_state_dict_into_shards(
        wanted, filename_pattern=f"{stem}{{suffix}}.safetensors", max_shard_size=SHARD
    )
    size = split.metadata["total_size"]
    with stage(f"writing {in_gb(size)} of weights"):
        for file, names in split.filename_to_tensors.items():
            write_tensors({name: wanted[name] for name in names}, folder / file)
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        write_json(folder / f"{stem}.safetensors.index.json", index)


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """One safetensors file, atomically."""
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with atomic_file(path) as scratch:
        save_file(plain, scratch, {"format": "pt"})
