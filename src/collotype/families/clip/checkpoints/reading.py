"""Reads a CLIP in any supported layout, strictly."""

from functools import partial
from pathlib import Path

from collotype.families.clip.checkpoints import native, open_clip, state_dict
from collotype.families.clip.checkpoints.checkpoint import ClipCheckpoint
from collotype.families.clip.checkpoints.locations import FILES, OPEN_CLIP
from collotype.families.clip.config import ACTIVATIONS, Activation
from collotype.families.shared import checkpoints as shared
from collotype.runtime.errors import UserError


def read(source: str | Path, activation: Activation | None = None) -> ClipCheckpoint:
    """What a folder, a checkpoint's file, or a repository of the hub holds.

    Args:
        activation: which one it was trained with, where the file does not say.

    Raises:
        UserError: no layout we know, another kind of model, weights that are missing or left over, an activation that
            nobody names, or another than the folder says.
    """
    if activation is not None and activation not in ACTIVATIONS:
        raise UserError(f"Unknown activation {activation!r}; the known ones are {', '.join(ACTIVATIONS)}.")
    path = Path(source)
    if path.is_file():
        return state_dict.read(path, activation)
    folder = FILES.fetched(source)
    if shared.is_native(folder):
        found = native.read(folder)
    elif open_clip.can_load(folder):
        found = open_clip.read(folder)
    else:
        there = ", ".join(FILES.locate(source).names()[:5]) or "nothing"
        raise UserError(
            f"{folder} contains no CLIP in a known layout (it contains {there}); give a folder with collotype.json or "
            f"{OPEN_CLIP}, or a training checkpoint's .pt file."
        )
    said = found.config.activation
    if activation not in (None, said):
        raise UserError(f"{source} has the activation {said}, not {activation}; leave the activation out.")
    return found


LAYOUTS = {"open_clip": open_clip.write}
"""What a model can be exported to."""
export = partial(shared.export, LAYOUTS)
