"""CLIPs in folders and files, in every layout they are published in; read strictly, whichever it is."""

from pathlib import Path

from collotype.families.clip.checkpoints import native, open_clip, state_dict
from collotype.families.clip.checkpoints.checkpoint import ClipCheckpoint
from collotype.families.clip.config import ACTIVATIONS, Activation
from collotype.families.clip.model import Clip
from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_folder, write_text
from collotype.runtime.hub import ModelLocation, Need, place_of

SMALL = (native.DESCRIPTION, open_clip.DESCRIPTION)
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
    place = place_in(source)
    folder = place.fetch(files_of(place))
    if native.can_load(folder):
        found = native.read(folder)
    elif open_clip.can_load(folder):
        found = open_clip.read(folder)
    else:
        there = ", ".join(place.names()[:5]) or "nothing"
        raise UserError(
            f"{folder} holds no CLIP in a layout we know (it holds {there}); give a folder with collotype.json or "
            f"{open_clip.DESCRIPTION}, or a training checkpoint's .pt file."
        )
    said = found.config.activation
    if activation not in (None, said):
        raise UserError(f"{source} says that its activation is {said}, not {activation}; leave the activation out.")
    return found


def place_in(source: str | Path) -> ModelLocation:
    """
    Raises:
        UserError: it is no folder and no repository of the hub, or the hub cannot be reached or refuses.
    """
    place = place_of(source, SMALL, (open_clip.DESCRIPTION, open_clip.SAFETENSORS))
    if place is None:
        raise UserError(
            f"There is no folder or file {source}; give a model's folder, a checkpoint's file, or a hub repository "
            "(org/name)."
        )
    return place


def needs_of(source: str | Path) -> list[Need]:
    """What `read` will fetch, if it will."""
    if Path(source).is_file():
        return []
    place = place_in(source)
    return place.needs(files_of(place))


def files_of(place: ModelLocation) -> list[str]:
    """Exactly what is read of a repository: safetensors, or the pickle of tensors where it has none."""
    if place.found is None:
        return []
    if native.can_load(place.folder):
        return [*place.weights("model"), "tokenizer.json"]
    return [open_clip.SAFETENSORS if place.has(open_clip.SAFETENSORS) else open_clip.PICKLE]


LAYOUTS = {"open_clip": open_clip.write}
"""What a model can be exported to."""


def export(model: Clip, layout: str, folder: Path, card: str) -> None:
    """Writes the model into `folder` in a published layout, with the text of its model card.

    Raises:
        UserError: no such layout, or one that cannot express the model.
    """
    if layout not in LAYOUTS:
        raise UserError(f"No layout {layout!r} for a CLIP; it can be exported to {', '.join(LAYOUTS)}.")
    with atomic_folder(folder) as scratch:
        LAYOUTS[layout](model, scratch)
        write_text(scratch / "README.md", card)


__all__ = ["ClipCheckpoint", "export", "read"]
