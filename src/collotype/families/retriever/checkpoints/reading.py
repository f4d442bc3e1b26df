"""Reads a retriever in any supported layout, strictly."""

from collections.abc import Sequence
from pathlib import Path

from collotype.families.retriever.backbones import ROWS, require_preset
from collotype.families.retriever.checkpoints import (
    adapter,
    colpali_engine,
    native,
    sentence_transformers,
    transformers_native,
)
from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint
from collotype.families.retriever.checkpoints.locations import MODULES, base_stated, fetched
from collotype.families.retriever.checkpoints.processors import quiet
from collotype.families.retriever.checkpoints.verify import verify
from collotype.families.retriever.config import RetrieverConfig
from collotype.families.retriever.lora import merge_lora, unload_lora, with_shared_weights
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.preset import PRESETS, TRAINED_WITH, Preset, find_preset
from collotype.families.shared.checkpoints import is_native
from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_folder, write_text
from collotype.runtime.hub.models import ModelLocation
from collotype.runtime.stage_messages import stage


def read(
    source: str | Path, preset: str | None = None, base: str | None = None, to_train: bool = False
) -> RetrieverCheckpoint:
    """What a folder, or a repository of the hub, holds.

    Args:
        preset: name of the preset it was trained with, where the folder does not say.
        base: where the base of an adapter lies, if not where the adapter says.
        to_train: also take a vision–language model that is not yet a retriever, and a retriever of another preset.

    Raises:
        UserError: no layout we know, another kind of model, weights missing or left over, an adapter without its base,
            a preset that is not known, or another than the folder says.
    """
    named, found_in = find_preset(preset) if preset else None, fetched(source, base)
    found = read_locations(found_in, named, to_train)
    said = found.config.preset.name
    if named and not to_train and said != named.name:
        raise UserError(f"{source} was trained with the preset {said}, not {named.name}; leave the preset out.")
    require_attention(found, str(source))
    return found


def read_locations(found_in: Sequence[ModelLocation], named: Preset | None, to_train: bool) -> RetrieverCheckpoint:
    """What lies in the first of them, on what lies in the others, if it is an adapter."""
    place, *bases = found_in
    folder = place.folder
    if bases and is_native(folder):
        preset = find_preset((base_stated(folder) or {})["preset"])
        return native.read(folder, read_locations(bases, preset, to_train=True))
    if bases:
        trained_with = named or PRESETS.get(TRAINED_WITH.get(place.name, ""))
        return adapter.read(folder, read_locations(bases, trained_with, to_train=True))
    if is_native(folder):
        return native.read(folder)
    if (folder / MODULES).is_file():
        return sentence_transformers.read(folder, named, place.name)
    if transformers_native.can_load(folder):
        return transformers_native.read(folder)
    return colpali_engine.read(folder, named, place.name, to_train)


def require_attention(found: RetrieverCheckpoint, source: str) -> None:
    """
    Raises:
        UserError: the backbone cannot attend as the preset says, or the files say that the model looks in both
            directions and the preset does not.
    """
    preset = found.config.preset
    require_preset(ROWS[found.config.backbone], preset)
    stated = found.config.backbone_config.get("text_config", {}).get("is_causal")
    if stated is False and preset.query_attention == "causal":
        raise UserError(
            f"config.json of {source} says is_causal = false, but the preset {preset.name} is causal and would give "
            "other vectors; name a bidirectional preset (--preset; `collotype list presets`)."
        )


LAYOUTS = {
    "transformers": transformers_native,
    "sentence-transformers": sentence_transformers,
    "engine": colpali_engine,
}
"""What a model can be exported to."""


ADAPTER, FORMERLY = "adapter", {"engine-adapter": "adapter"}


def require_layout(config: RetrieverConfig, layout: str) -> None:
    """Before weights are read.

    Raises:
        UserError: no such layout, or one that cannot express the model.
    """
    if config.pages:
        raise UserError(
            "This model encodes queries only, which no other library's layout can express; convert its teacher."
        )
    if config.interaction == "sparse":
        raise UserError(
            "This model's vectors are sparse, which no other library's layout can express; use it with Collotype."
        )
    layout = FORMERLY.get(layout, layout)
    if layout not in (*LAYOUTS, ADAPTER):
        raise UserError(f"Unknown layout {layout!r}; a model can be converted to {', '.join([*LAYOUTS, ADAPTER])}.")
    if layout == ADAPTER and not config.lora:
        raise UserError("The model has no adapter, because it was not trained with model.lora; convert it to engine.")
    LAYOUTS.get(layout, colpali_engine).require_expressible(config)


def export(model: Retriever, layout: str, folder: Path, card: str) -> list[str]:
    """Writes the model, its adapter merged, into `folder` in a published layout, with the text of its model card; what
    was written is read again before it appears.

    With `adapter` the folder has two: `base`, the engine's full checkpoint the adapter was trained on, and `adapter`.

    Returns:
        what was verified, in sentences.

    Raises:
        UserError: no such layout, or one that cannot express the model.
    """
    require_layout(model.config, layout)
    layout, given = FORMERLY.get(layout, layout), model
    write = write_with_base if layout == ADAPTER else LAYOUTS[layout].write
    if layout != ADAPTER and model.config.lora:
        model = merge_lora(with_shared_weights(model))
    with atomic_folder(folder) as scratch, quiet():
        write(model, scratch)
        with stage("reading again what was written"):
            found = verify(model if model.held_in else given, layout, scratch)
        write_text(scratch / "README.md", card)
    return found


def write_with_base(model: Retriever, folder: Path) -> None:
    colpali_engine.write(unload_lora(with_shared_weights(model)), folder / "base")
    adapter.write(model, folder / "adapter", "../base")
