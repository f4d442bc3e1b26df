"""Where a CLIP lies, and what of it is read; told without torch."""

from pathlib import Path

from collotype.families.shared import checkpoints as shared
from collotype.runtime.errors import UserError
from collotype.runtime.hub import ModelLocation, Need, place_of
from collotype.runtime.model_folder import DESCRIPTION

OPEN_CLIP = "open_clip_config.json"
SAFETENSORS, PICKLE = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"
"""The files of open_clip's layout of the hub."""
SMALL = (DESCRIPTION, OPEN_CLIP)
"""What is read before weights."""


def fetched(source: str | Path) -> Path:
    """The file or folder, with all that is read of it.

    Raises:
        UserError: there is none, or the hub cannot be reached or refuses.
    """
    return shared.local(source, place_in, files_of)


def place_in(source: str | Path) -> ModelLocation:
    """
    Raises:
        UserError: it is neither a folder nor a repository of the hub, or the hub cannot be reached or refuses.
    """
    place = place_of(source, SMALL, (OPEN_CLIP, SAFETENSORS))
    if place is None:
        raise UserError(
            f"There is no folder or file {source}; give a model's folder, a checkpoint's file, or a hub repository "
            "(org/name)."
        )
    return place


def needs_of(source: str | Path) -> list[Need]:
    return shared.needs_of(source, place_in, files_of)


def files_of(place: ModelLocation) -> list[str]:
    """Exactly what is read of a repository: safetensors, or the pickle of tensors where it has none."""
    if place.found is None:
        return []
    if shared.is_native(place.folder):
        return [*place.weights("model"), "tokenizer.json"]
    return [SAFETENSORS if place.has(SAFETENSORS) else PICKLE]
