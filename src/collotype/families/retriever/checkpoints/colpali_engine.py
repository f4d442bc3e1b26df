"""colpali-engine's full checkpoints ("*-base"): the backbone's config.json with a class of the engine in it, and the
projection beside the backbone's weights. Also plain vision–language models, which are where training starts."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from collotype.families.retriever.backbones.spec import BackboneSpec
from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint, read_backbone, with_attention
from collotype.families.retriever.checkpoints.processors import (
    describe_tokenizer,
    differences,
    image_processor,
    visual_budget,
)
from collotype.families.retriever.checkpoints.weights import canonical
from collotype.families.retriever.config import RetrieverConfig
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.preset import Preset, known_preset
from collotype.runtime.errors import UserError
from collotype.runtime.files import write_json
from collotype.runtime.model_folder import read_json, read_tokenizer
from collotype.runtime.tensor_files import read_tensors, write_weights
from collotype.runtime.weights import Weights

PROJECTION = "custom_text_proj.weight"
CLASSES = {
    "paligemma": "Pali",
    "qwen2-vl": "Qwen2",
    "qwen2.5-vl": "Qwen2_5",
    "qwen3-vl": "Qwen3",
    "qwen3.5": "Qwen3_5",
    "idefics3": "Idefics3",
    "modernvbert": "ModernVBert",
    "gemma3": "Gemma3",
}
"""The engine calls a backbone's classes Col… (late interaction) and Bi… (a single vector)."""
WRAPPED = {"paligemma": "model.model.", "modernvbert": "model."}
"""Before a weight's name, where the engine's class holds a model of transformers instead of being one."""
OWN_CODE = {"colqwen3", "ops_colqwen3", "qwen3_vl_nemotron_embed"}
"""model_type of published late-interaction retrievers that bring code of their own, whatever their class is called."""
WITHOUT_PROJECTION = ("qwen3_vl_nemotron_embed",)
MEAN_POOLED = ("paligemma", "modernvbert")
"""Backbones whose Bi… classes take the mean of all tokens; the others take the last token."""


def read(folder: Path, preset: Preset | None = None, name: str = "", to_train: bool = False) -> RetrieverCheckpoint:
    """
    Args:
        preset: the frame it was trained with; None: known by the checkpoint's `name`, or an error.
        to_train: also take a model of no class of the engine, as one for single vectors.

    Raises:
        UserError: a class the engine does not have, another kind of model, files are missing, the preset is not known.
    """
    values = read_json(folder / "config.json")
    row, backbone_config = read_backbone(values, folder / "config.json")
    made_for = (values.get("architectures") or ["model of no class"])[0]
    stem = CLASSES[row.name]
    kinds: dict[str, Literal["late", "single"]] = {
        f"Col{stem}": "late",
        f"Col{stem}ForRetrieval": "late",
        f"Bi{stem}": "single",
        f"Bi{stem}Proj": "single",
    }
    if values.get("model_type") in OWN_CODE:
        kinds[made_for] = "late"
    if made_for not in kinds and not to_train:
        require_known_class(made_for, list(kinds), row, folder)
        raise UserError(
            f"{folder} contains a plain {made_for}, which is not a retriever yet; train one from it (model.weights), "
            "or give the folder of a trained retriever."
        )
    tensors = first_outputs(values, canonical(row, read_tensors(folder), str(folder)))
    if kinds.get(made_for) == "late" and PROJECTION not in tensors and not to_train:
        if values.get("model_type") not in WITHOUT_PROJECTION:
            raise UserError(
                f"{folder} contains a {made_for} without its projection ({PROJECTION}); copy the folder again."
            )
    backbone_config = with_table(backbone_config, tensors)
    preset = preset or known_preset(name, folder)
    config = RetrieverConfig(
        row.name,
        backbone_config,
        kinds.get(made_for, "single"),
        tensors.shapes[PROJECTION][0] if PROJECTION in tensors else None,
        preset.within(visual_budget(folder)),
        "mean" if row.name in MEAN_POOLED else "last",
    )
    return RetrieverCheckpoint(
        config, read_tokenizer(folder), tensors, str(folder), differences(folder, backbone_config, tensors)
    )


def require_known_class(made_for: str, known: list[str], row: BackboneSpec, folder: Path) -> None:
    """
    Raises:
        UserError: the class is called like a retriever's, and is none of the engine's.
    """
    if not made_for.startswith(("Col", "Bi")):
        return
    nearest = get_close_matches(made_for, known, 1, cutoff=0)[0]
    raise UserError(
        f"{folder} was saved by the unknown class {made_for}; if it computes the same as {nearest} on the backbone "
        f"{row.name} of its config.json, write that under architectures, otherwise use the program that saved it."
    )


def first_outputs(values: dict[str, Any], tensors: Weights) -> Weights:
    """The projection cut to the outputs that a config.json says are given (`dims`, of Ops-Colqwen3)."""
    if (dims := values.get("dims")) is None:
        return tensors
    return tensors | {name: tensors[name][:dims] for name in tensors if name.startswith("custom_text_proj.")}


def with_table(config: dict[str, Any], tensors: Weights) -> dict[str, Any]:
    """The configuration with as many words as the table has, where their rows were published in two parts."""
    rows = [shape[0] for name, shape in tensors.shapes.items() if name.endswith("tok_embeddings.weight")]
    return {**config, "text_config": {**config["text_config"], "vocab_size": rows[0]}} if rows else config


def name_in_engine(row: BackboneSpec, name: str) -> str:
    """What colpali-engine calls the weight or layer of a canonical name."""
    return re.sub(r"^backbone\.", WRAPPED.get(row.name, ""), name)


def require_expressible(config: RetrieverConfig) -> None:
    """
    Raises:
        UserError: late interaction without a projection, which each of the engine's classes has.
    """
    if config.interaction == "late" and config.dim is None:
        raise UserError(
            f"colpali-engine's Col{CLASSES[config.backbone]} has a projection but this model has none, so a random one "
            "would be added; export to sentence-transformers instead."
        )


def write(model: Retriever, folder: Path) -> None:
    """Writes what colpali-engine loads with `ColX.from_pretrained(folder)`; its versions frame queries differently, so
    the model card names the one whose frame is the model's."""
    import transformers

    config, row = model.config, model.row
    backbone = with_attention(row, config.backbone_config, config.preset)
    values = transformers.CONFIG_MAPPING[row.model_type].from_dict(backbone).to_dict()
    stem = CLASSES[row.name]
    single = f"Bi{stem}Proj" if config.dim else f"Bi{stem}"
    values["architectures"] = [f"Col{stem}" if config.interaction == "late" else single]
    named = canonical(row, model.state_dict(), "the model").items()
    tensors = {name_in_engine(row, name): tensor for name, tensor in named}
    write_json(folder / "config.json", values)
    write_weights(tensors, folder)
    describe_tokenizer(model).save_pretrained(folder)
    image_processor(model).save_pretrained(folder)
