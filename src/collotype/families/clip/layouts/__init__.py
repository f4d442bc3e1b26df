"""CLIPs in folders and files, in every layout they are published in; read strictly, whichever it is."""

from pathlib import Path

from collotype.families.clip.config import ACTIVATIONS, Activation
from collotype.families.clip.layouts import checkpoint, open_clip, ours
from collotype.families.clip.layouts.contents import Contents
from collotype.families.clip.model import Clip
from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_folder, write_text
from collotype.runtime.hub import REPOSITORY, fetch

HUB = "hf-hub:"
"""How open_clip writes that a name is one of the hub's."""


def read(source: str | Path, activation: Activation | None = None) -> Contents:
    """What a folder, a checkpoint's file, or a repository of the hub holds.

    Args:
        activation: which one it was trained with, where the file does not say.

    Raises:
        UserError: no layout we know, another kind of model, weights that are missing or left over, an activation that
            nobody names, or another than the folder says.
    """
    if activation is not None and activation not in ACTIVATIONS:
        raise UserError(f"No activation {activation!r}; known are {', '.join(ACTIVATIONS)}.")
    source = str(source).removeprefix(HUB)
    path = Path(source)
    if path.is_file():
        return checkpoint.read(path, activation)
    folder = path if path.is_dir() else fetched(str(source))
    if ours.recognises(folder):
        found = ours.read(folder)
    elif open_clip.recognises(folder):
        found = open_clip.read(folder)
    else:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise UserError(
            f"{folder} holds no CLIP in a layout we know (it holds {there}); give a folder with collotype.json or "
            f"{open_clip.DESCRIPTION}, or a training checkpoint's .pt file."
        )
    said = found.config.activation
    if activation not in (None, said):
        raise UserError(f"{source} says that its activation is {said}, not {activation}; leave the activation out.")
    return found


def fetched(repository: str) -> Path:
    """The folder of a repository of the hub: its safetensors, or its pickle of tensors where it has none."""
    if not REPOSITORY.fullmatch(repository):
        raise UserError(
            f"There is no folder or file {repository}; give a model's folder, a checkpoint's file, or a hub repository "
            "(org/name)."
        )
    wanted = ("*.json", open_clip.SAFETENSORS)
    instead = (
        f"copy {open_clip.DESCRIPTION} and {open_clip.SAFETENSORS} of it into a folder and give that folder's path"
    )
    folder = fetch(repository, wanted, "model", instead)
    if not (folder / open_clip.SAFETENSORS).is_file():
        folder = fetch(repository, (*wanted, open_clip.PICKLE), "model", instead)
    return folder


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


__all__ = ["Contents", "export", "read"]
