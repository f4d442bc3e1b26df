"""Retrievers in folders, in every layout they are published in; read strictly, whichever it is."""

import copy
from pathlib import Path

from collotype.families.retriever.backbones import BACKBONES, require_preset
from collotype.families.retriever.layouts import adapter, engine, ours, sentence_transformers, transformers_native
from collotype.families.retriever.layouts.contents import Contents
from collotype.families.retriever.layouts.processors import quiet
from collotype.families.retriever.layouts.verify import verify
from collotype.families.retriever.lora import merge_lora, unload_lora
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.preset import PRESETS, TRAINED_WITH, find_preset
from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_folder, write_text
from collotype.runtime.hub import REPOSITORY, fetch

FILES = ("*.json", "*.jinja", "*.safetensors")


def read(source: str | Path, preset: str | None = None, base: str | None = None, to_train: bool = False) -> Contents:
    """What a folder, or a repository of the hub, holds.

    Args:
        preset: name of the preset it was trained with, where the folder does not say.
        base: where the base of an adapter lies, if not where the adapter says.
        to_train: also take a vision–language model that is no retriever yet, and a retriever of another preset.

    Raises:
        UserError: no layout we know, another kind of model, weights missing or left over, an adapter without its base,
            a preset that is not known, or another than the folder says.
    """
    named, folder = find_preset(preset) if preset else None, Path(source)
    if not folder.is_dir():
        if not REPOSITORY.fullmatch(str(source)):
            raise UserError(f"There is no folder {source}; give a model's folder, or a hub repository (org/name).")
        instead = f"copy {', '.join(FILES)} of it into a folder and give that folder's path"
        folder = fetch(str(source), FILES, "model", instead)
    if adapter.recognises(folder):
        trained_with = named or PRESETS.get(TRAINED_WITH.get(str(source), ""))
        where = base or adapter.base_of(folder)
        if not Path(where).is_dir() and not REPOSITORY.fullmatch(where):
            raise UserError(f"The adapter in {folder} names the base {where}, which is not here; give it with --base.")
        found = adapter.read(folder, read(where, trained_with and trained_with.name, to_train=True))
    elif ours.recognises(folder):
        found = ours.read(folder)
    elif sentence_transformers.recognises(folder):
        found = sentence_transformers.read(folder, named, str(source))
    elif transformers_native.recognises(folder):
        found = transformers_native.read(folder)
    elif engine.recognises(folder):
        found = engine.read(folder, named, str(source), to_train)
    else:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise UserError(
            f"{folder} holds no retriever in a layout we know (it holds {there}); give a folder with collotype.json, "
            "config.json, modules.json or adapter_config.json, for example runs/desk-colpali/model."
        )
    said = found.config.preset.name
    if named and not to_train and said != named.name:
        raise UserError(f"{source} says it was trained with the preset {said}, not {named.name}; leave the preset out.")
    require_attention(found, str(source))
    return found


def require_attention(found: Contents, source: str) -> None:
    """
    Raises:
        UserError: the backbone cannot attend as the preset says, or the files say that the model looks in both
            directions and the preset does not.
    """
    preset = found.config.preset
    require_preset(BACKBONES[found.config.backbone], preset)
    stated = found.config.backbone_config.get("text_config", {}).get("is_causal")
    if stated is False and preset.query_attention == "causal":
        raise UserError(
            f"config.json of {source} says is_causal = false, and the preset {preset.name} is causal, which gives "
            "other vectors; name a bidirectional preset (--preset; `collotype list presets`)."
        )


LAYOUTS = {
    "transformers": transformers_native.write,
    "sentence-transformers": sentence_transformers.write,
    "engine": engine.write,
}
"""What a model can be exported to."""


ADAPTER, FORMERLY = "adapter", {"engine-adapter": "adapter"}


def export(model: Retriever, layout: str, folder: Path, card: str) -> list[str]:
    """Writes the model, its adapter merged, into `folder` in a published layout, with the text of its model card; what
    was written is read again before it appears.

    With `adapter` the folder has two: `base`, the engine's full checkpoint the adapter was trained on, and `adapter`.

    Returns:
        what was verified, in sentences.

    Raises:
        UserError: no such layout, or one that cannot express the model.
    """
    layout, given = FORMERLY.get(layout, layout), model
    if layout == ADAPTER:
        write = write_with_base
    elif layout in LAYOUTS:
        write, model = LAYOUTS[layout], merge_lora(copy.deepcopy(model))
    else:
        raise UserError(f"No layout {layout!r}; a model can be converted to {', '.join([*LAYOUTS, ADAPTER])}.")
    with atomic_folder(folder) as scratch, quiet():
        write(model, scratch)
        found = verify(given, layout, scratch)
        write_text(scratch / "README.md", card)
    return found


def write_with_base(model: Retriever, folder: Path) -> None:
    if not model.config.lora:
        raise UserError("The model has no adapter: it was not trained with model.lora; convert it to engine.")
    engine.write(unload_lora(copy.deepcopy(model)), folder / "base")
    adapter.write(model, folder / "adapter", "../base")
