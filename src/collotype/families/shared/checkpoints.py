"""Model folders as all families keep them: our own layout (`collotype.json`, `model.safetensors`, the vocabulary), and
what a family's other layouts have in common with it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_folder, write_json, write_text
from collotype.runtime.hub import ModelLocation, Need
from collotype.runtime.model_folder import DESCRIPTION, read_json

if TYPE_CHECKING:  # where a model lies is asked without torch
    import torch
    from torch import Tensor, nn

M = TypeVar("M", bound="nn.Module")
Layouts = Mapping[str, Callable[[M, Path], None]]
"""What a model can be exported to: by name, what writes it into a folder."""


def is_native(folder: Path) -> bool:
    return (folder / DESCRIPTION).is_file()


def write_native(
    folder: Path, config: Mapping[str, Any], tensors: "Mapping[str, Tensor]", save_vocabulary: Callable[[Path], object]
) -> None:
    """The whole folder or nothing of it."""
    from collotype.runtime.tensor_files import write_weights

    with atomic_folder(folder) as scratch:
        write_json(scratch / DESCRIPTION, config)
        write_weights(tensors, scratch)
        save_vocabulary(scratch)


def read_description(folder: Path, family: str) -> dict[str, Any]:
    """
    Raises:
        UserError: it is of another family.
    """
    values = read_json(folder / DESCRIPTION)
    if values.get("family") != family:
        raise UserError(f"{folder} contains a {values.get('family')} model, not a {family} model; give another folder.")
    return values


def fill(model: M, tensors: "Mapping[str, Tensor]", origin: str, dtype: "torch.dtype | None") -> M:
    """Puts a checkpoint's tensors into a model that was made `parameters_on_meta`; it is then in evaluation mode.

    Args:
        dtype: of its weights; None leaves them as in the file.

    Raises:
        UserError: weights are missing or left over.
    """
    from collotype.runtime.tensor_files import load_strictly

    load_strictly(model, tensors, origin, {key: key for key in model.state_dict()}, dtype)
    return model.eval()


def export(layouts: Layouts[M], model: M, layout: str, folder: Path, card: str) -> None:
    """Writes the model into `folder` in a published layout, with the text of its model card.

    Raises:
        UserError: no such layout, or one that cannot express the model.
    """
    if layout not in layouts:
        raise UserError(f"Unknown layout {layout!r}; this model can be exported to {', '.join(layouts)}.")
    with atomic_folder(folder) as scratch:
        layouts[layout](model, scratch)
        write_text(scratch / "README.md", card)


FindPlace = Callable[[str | Path], ModelLocation]
"""Where a model lies: a folder, or a repository of the hub with what is read before weights."""
FilesOf = Callable[[ModelLocation], list[str]]
"""Exactly what is read of a repository."""


def local(source: str | Path, find: FindPlace, files_of: FilesOf) -> Path:
    """The file or folder; of a repository of the hub, its folder with exactly what is read of it.

    Raises:
        UserError: there is none, or the hub cannot be reached or refuses.
    """
    if Path(source).is_file():
        return Path(source)
    place = find(source)
    return place.fetch(files_of(place))


def needs_of(source: str | Path, find: FindPlace, files_of: FilesOf) -> list[Need]:
    """What reading it will fetch, if it will."""
    if Path(source).is_file():
        return []
    place = find(source)
    return place.needs(files_of(place))
