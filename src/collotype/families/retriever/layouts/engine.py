"""colpali-engine's full checkpoints ("*-base"): the backbone's config.json with a class of the engine in it, and the
projection beside the backbone's weights. Also plain vision–language models, which are where training starts."""

import re
from dataclasses import replace
from pathlib import Path

from collotype.families.retriever.backbones.row import Backbone
from collotype.families.retriever.layouts.contents import Contents, read_backbone
from collotype.families.retriever.layouts.processors import (
    describe_tokenizer,
    differences,
    image_processor,
    visual_budget,
)
from collotype.families.retriever.layouts.weights import canonical
from collotype.families.retriever.model import Retriever, RetrieverConfig
from collotype.families.retriever.preset import Preset, known_preset
from collotype.runtime.errors import UserError
from collotype.runtime.files import write_json
from collotype.runtime.model_folder import read_json, read_tensors, read_tokenizer, write_tensors

PROJECTION = "custom_text_proj.weight"
CLASSES = {
    "paligemma": "Pali",
    "qwen2-vl": "Qwen2",
    "qwen2.5-vl": "Qwen2_5",
    "qwen3-vl": "Qwen3",
    "idefics3": "Idefics3",
    "gemma3": "Gemma3",
}
"""The engine calls a backbone's classes Col… (late interaction) and Bi… (a single vector)."""
MEAN_POOLED = ("paligemma",)
"""Backbones whose Bi… classes take the mean of all tokens; the others take the last token."""


def recognises(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def read(folder: Path, preset: Preset | None = None, name: str = "", to_train: bool = False) -> Contents:
    """
    Args:
        preset: the frame it was trained with; none: known by the checkpoint's `name`, or an error.
        to_train: also take a model of no class of the engine, as one for single vectors.

    Raises:
        UserError: a class the engine does not have, another kind of model, files are missing, the preset is not known.
    """
    values = read_json(folder / "config.json")
    row, backbone_config = read_backbone(values, folder / "config.json")
    made_for = (values.get("architectures") or ["model of no class"])[0]
    stem = CLASSES[row.name]
    kinds = {f"Col{stem}": "late", f"Bi{stem}": "single", f"Bi{stem}Proj": "single"}
    if made_for not in kinds and not to_train:
        raise UserError(
            f"{folder} holds a plain {made_for}, which is no retriever yet; train one from it (model.weights), or give "
            "a folder of a trained retriever."
        )
    tensors = canonical(row, read_tensors(folder), str(folder))
    preset = preset or known_preset(name, folder)
    config = RetrieverConfig(
        row.name,
        backbone_config,
        kinds.get(made_for, "single"),
        len(tensors[PROJECTION]) if PROJECTION in tensors else None,
        replace(preset, max_visual_tokens=visual_budget(folder) or preset.max_visual_tokens),
        "mean" if row.name in MEAN_POOLED else "last",
    )
    return Contents(config, read_tokenizer(folder), tensors, str(folder), differences(folder, backbone_config))


def name_in_engine(row: Backbone, name: str) -> str:
    """What colpali-engine calls the weight or layer of a canonical name."""
    # its PaliGemma classes wrap the model twice, the others inherit from it
    return re.sub(r"^backbone\.", "model.model." if row.name == "paligemma" else "", name)


def write(model: Retriever, folder: Path) -> None:
    """Writes what colpali-engine loads with `ColX.from_pretrained(folder)`; its versions frame queries differently, so
    the model card names the one whose frame is the model's."""
    import transformers

    config, row = model.config, model.row
    values = transformers.CONFIG_MAPPING[row.model_type].from_dict(config.backbone_config).to_dict()
    stem = CLASSES[row.name]
    single = f"Bi{stem}Proj" if config.dim else f"Bi{stem}"
    values["architectures"] = [f"Col{stem}" if config.interaction == "late" else single]
    named = canonical(row, model.state_dict(), "the model").items()
    tensors = {name_in_engine(row, name): tensor for name, tensor in named}
    write_json(folder / "config.json", values)
    write_tensors(tensors, folder / "model.safetensors")
    describe_tokenizer(model).save_pretrained(folder)
    image_processor(model).save_pretrained(folder)
