"""Retrievers in folders, in every layout they are published in; read strictly, whichever it is."""

from collections.abc import Sequence
from pathlib import Path

from collotype.families.retriever.backbones import ROWS, require_preset
from collotype.families.retriever.checkpoints import adapter, engine, native, sentence_transformers, transformers_native
from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint, read_backbone
from collotype.families.retriever.checkpoints.processors import quiet
from collotype.families.retriever.checkpoints.verify import verify
from collotype.families.retriever.lora import merge_lora, unload_lora, with_shared_weights
from collotype.families.retriever.model import Retriever, RetrieverConfig
from collotype.families.retriever.preset import PRESETS, TRAINED_WITH, Preset, find_preset
from collotype.families.shared.checkpoints import is_native
from collotype.runtime import hub
from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_folder, write_text
from collotype.runtime.hub import Need
from collotype.runtime.hub.models import ModelLocation, below, place_of
from collotype.runtime.model_folder import DESCRIPTION, read_json, require_there
from collotype.runtime.stages import stage

SMALL = (
    DESCRIPTION,
    adapter.DESCRIPTION,
    sentence_transformers.MODULES,
    sentence_transformers.PRESET,
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
)
"""What is read before weights: by these a layout is known, and whether it is one of a retriever."""


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
    named, found_in = find_preset(preset) if preset else None, places(source, base)
    for place in found_in:
        place.fetch(files_of(place))
    found = read_places(found_in, named, to_train)
    said = found.config.preset.name
    if named and not to_train and said != named.name:
        raise UserError(f"{source} was trained with the preset {said}, not {named.name}; leave the preset out.")
    require_attention(found, str(source))
    return found


def places(source: str | Path, base: str | None = None) -> list[ModelLocation]:
    """Where the model lies, and, of an adapter, its base: what tells what they are is there, and no weights yet.

    Raises:
        UserError: there is none, or it is in no layout we know.
    """
    place = place_of(source, SMALL, ("the *.json", "the *.safetensors"))
    if place is None:
        raise UserError(f"There is no folder {source}; give a model's folder, or a hub repository (org/name).")
    folder = place.folder
    if adapter.can_load(folder):
        if base:
            require_there(base)
        where = base or adapter.base_of(folder)
        if not Path(where).is_dir() and not hub.parse(where, "model"):
            raise UserError(
                f"The adapter in {folder} needs the base {where}, which was not found; give its path with --base."
            )
        return [place, *places(where)]
    if is_native(folder) and (stated := native.base_of(folder)):
        where = base or stated["source"]
        if not Path(where).is_dir() and not hub.parse(where, "model"):
            raise UserError(
                f"The model in {folder} is an adapter of {where}, which was not found; give its path with --base, "
                "or run `collotype convert` where it was trained."
            )
        return [place, *places(where, None if base else stated["base"])]
    if not is_native(folder) and not any(layout.can_load(folder) for layout in (sentence_transformers, engine)):
        there = ", ".join(place.names()[:5]) or "nothing"
        raise UserError(
            f"{folder} contains no retriever in a known layout (it holds {there}); give a folder with collotype.json, "
            "config.json, modules.json or adapter_config.json, for example runs/desk-colpali/model."
        )
    return [place]


def address_of(source: str | Path) -> str:
    """By which a model is found again, from wherever: its folder, or its repository at a commit."""
    place = places(source)[0]
    return str(place.folder.resolve()) if place.found is None else f"{place.name}@{place.found.source.commit}"


def needs_of(source: str | Path, base: str | None = None) -> list[Need]:
    """What `read` will fetch, if it will."""
    return [need for place in places(source, base) for need in place.needs(files_of(place))]


def files_of(place: ModelLocation) -> list[str]:
    """Exactly what is read of a repository; nothing of a folder, which is as it is.

    Raises:
        UserError: it has no weights, or is a model of another kind.
    """
    if place.found is None:
        return []
    folder, tokenizer = place.folder, "tokenizer.json"
    if adapter.can_load(folder):
        return [*place.weights(adapter.STEM), tokenizer]
    if is_native(folder):
        return [*place.weights("model"), tokenizer]
    read_kind(folder)
    modules = sentence_transformers.modules_of(folder) if sentence_transformers.can_load(folder) else {}
    inside = {path.relative_to(folder).as_posix() for path in modules.values()} - {"."}
    beside = [name for part in inside for name in below(place.found.files, part) if name.endswith(MODULE_FILES)]
    return [*place.weights("model"), tokenizer, *beside]


MODULE_FILES = ("config.json", "model.safetensors")
"""Of a module of sentence-transformers in a folder of its own."""


def read_kind(folder: Path) -> None:
    """
    Raises:
        UserError: `config.json` is of no backbone that we know.
    """
    values = read_json(folder / "config.json")
    read_backbone(values.get("vlm_config", values), folder / "config.json")


def read_places(found_in: Sequence[ModelLocation], named: Preset | None, to_train: bool) -> RetrieverCheckpoint:
    """What lies in the first of them, on what lies in the others, if it is an adapter."""
    place, *bases = found_in
    folder = place.folder
    if bases and is_native(folder):
        preset = find_preset(native.base_of(folder)["preset"])
        return native.read(folder, read_places(bases, preset, to_train=True))
    if bases:
        trained_with = named or PRESETS.get(TRAINED_WITH.get(place.name, ""))
        return adapter.read(folder, read_places(bases, trained_with, to_train=True))
    if is_native(folder):
        return native.read(folder)
    if sentence_transformers.can_load(folder):
        return sentence_transformers.read(folder, named, place.name)
    if transformers_native.can_load(folder):
        return transformers_native.read(folder)
    return engine.read(folder, named, place.name, to_train)


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
            f"config.json of {source} says is_causal = false, and the preset {preset.name} is causal, which gives "
            "other vectors; name a bidirectional preset (--preset; `collotype list presets`)."
        )


LAYOUTS = {
    "transformers": transformers_native,
    "sentence-transformers": sentence_transformers,
    "engine": engine,
}
"""What a model can be exported to."""


ADAPTER, FORMERLY = "adapter", {"engine-adapter": "adapter"}


def require_layout(config: RetrieverConfig, layout: str) -> None:
    """Before weights are read.

    Raises:
        UserError: no such layout, or one that cannot express the model.
    """
    if config.pages:
        raise UserError("This model reads queries only, which no other library's layout can say; convert its teacher.")
    if config.interaction == "sparse":
        raise UserError("No other library's layout can say that a model's vectors are sparse; use it with collotype.")
    layout = FORMERLY.get(layout, layout)
    if layout not in (*LAYOUTS, ADAPTER):
        raise UserError(f"No layout {layout!r}; a model can be converted to {', '.join([*LAYOUTS, ADAPTER])}.")
    if layout == ADAPTER and not config.lora:
        raise UserError("The model has no adapter: it was not trained with model.lora; convert it to engine.")
    LAYOUTS.get(layout, engine).require_expressible(config)


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
    engine.write(unload_lora(with_shared_weights(model)), folder / "base")
    adapter.write(model, folder / "adapter", "../base")
