"""CLIPs in folders and files, in every layout they are published in; read strictly, whichever it is."""

from functools import partial
from pathlib import Path

from collotype.families.clip.checkpoints import native, open_clip, state_dict
from collotype.families.clip.checkpoints.checkpoint import ClipCheckpoint
from collotype.families.clip.config import ACTIVATIONS, Activation
from collotype.families.shared import checkpoints as shared
from collotype.runtime.errors import UserError
from collotype.runtime.hub import ModelLocation, Need, place_of
from collotype.runtime.model_folder import DESCRIPTION

SMALL = (DESCRIPTION, open_clip.DESCRIPTION)
"""What is read before weights."""


def read(source: str | Path, activation: Activation | None = None) -> ClipCheckpoint:
    """What a folder, a checkpoint's file, or a repository of the hub holds.

    Args:
        activation: which one it was trained with, where the file does not say.

    Raises:
        UserError: no layout we know, another kind of model, weights that are missing or left over, an activation that
            nobody names, or another than the folder says.
    """
    if activation is not None and activation not in ACTIVATIONS:
        raise UserError(f"No activation {activation!r}; known are {', '.join(ACTIVATIONS)}.")
    path = Path(source)
    if path.is_file():
        return state_dict.read(path, activation)
    folder = shared.local(source, place_in, files_of)
    if shared.is_native(folder):
        found = native.read(folder)
    elif open_clip.can_load(folder):
        found = open_clip.read(folder)
    else:
        there = ", ".join(place_in(source).names()[:5]) or "nothing"
        raise UserError(
            f"{folder} contains no CLIP in a known layout (it holds {there}); give a folder with collotype.json or "
            f"{open_clip.DESCRIPTION}, or a training checkpoint's .pt file."
        )
    said = found.config.activation
    if activation not in (None, said):
        raise UserError(f"{source} has the activation {said}, not {activation}; leave the activation out.")
    return found


def place_in(source: str | Path) -> ModelLocation:
    """
    Raises:
        UserError: it is neither a folder nor a repository of the hub, or the hub cannot be reached or refuses.
    """
    place = place_of(source, SMALL, (open_clip.DESCRIPTION, open_clip.SAFETENSORS))
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
    return [open_clip.SAFETENSORS if place.has(open_clip.SAFETENSORS) else open_clip.PICKLE]


LAYOUTS = {"open_clip": open_clip.write}
"""What a model can be exported to."""
export = partial(shared.export, LAYOUTS)
