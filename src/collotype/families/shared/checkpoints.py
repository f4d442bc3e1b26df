"""What the families' checkpoints have in common: our own layout (`collotype.json`, `model.safetensors`, the
vocabulary), finding files, exporting."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_folder, write_json, write_text
from collotype.runtime.hub import ModelLocation, Need, locate
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


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """Where a family's models are found, and which of their files are read."""

    small: tuple[str, ...]
    """Read before weights; they tell what a model is."""
    to_copy: tuple[str, ...]
    """What a user without a network has to copy, in words."""
    expected: str
    """What a source may be, for an error."""
    needed: Callable[[ModelLocation], list[str]]
    """Exactly the files that are read of a repository."""

    def locate(self, source: str | Path) -> ModelLocation:
        """
        Raises:
            UserError: it is neither a folder nor a repository of the hub, or the hub cannot be reached or refuses.
        """
        if location := locate(source, self.small, self.to_copy):
            return location
        raise UserError(f"There is no folder or file {source}; give {self.expected}.")

    def fetched(self, source: str | Path) -> Path:
        """The file or folder; of a repository of the hub, its folder with the files that are read.

        Raises:
            UserError: as of `locate`.
        """
        if Path(source).is_file():
            return Path(source)
        location = self.locate(source)
        return location.fetch(self.needed(location))

    def needs(self, source: str | Path) -> list[Need]:
        """What `fetched` will ask of the hub."""
        if Path(source).is_file():
            return []
        location = self.locate(source)
        return location.needs(self.needed(location))
