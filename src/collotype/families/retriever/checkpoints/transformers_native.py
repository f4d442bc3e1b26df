"""transformers' own retrievers: `ColPaliForRetrieval`, `ColQwen2ForRetrieval` and `ColModernVBertForRetrieval` with
their processors."""

from dataclasses import replace
from pathlib import Path

import torch

from collotype.families.retriever.backbones import BACKBONES
from collotype.families.retriever.backbones.spec import BackboneSpec
from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint, read_backbone
from collotype.families.retriever.checkpoints.processors import (
    describe_tokenizer,
    differences,
    image_processor,
    tile_length,
    visual_budget,
)
from collotype.families.retriever.checkpoints.weights import canonical
from collotype.families.retriever.config import RetrieverConfig
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.preset import IMAGE, Preset, find_preset
from collotype.runtime.errors import UserError
from collotype.runtime.model_folder import name_some, read_json, read_tokenizer
from collotype.runtime.stage_messages import in_gb, stage
from collotype.runtime.tensor_files import SHARD, read_tensors

CLASSES = {"paligemma": "ColPali", "qwen2-vl": "ColQwen2", "modernvbert": "ColModernVBert"}
"""Backbones that transformers has a late-interaction class of."""
PRESET_OF = {
    "paligemma": "colpali-transformers",
    "qwen2-vl": "colqwen2-transformers",
    "modernvbert": "colmodernvbert-engine-0.3.18",
}


def can_load(folder: Path) -> bool:
    return (folder / "config.json").is_file() and "vlm_config" in read_json(folder / "config.json")


def read(folder: Path) -> RetrieverCheckpoint:
    """
    Raises:
        UserError: another kind of model, or files are missing.
    """
    values = read_json(folder / "config.json")
    row, backbone_config = read_backbone(values["vlm_config"], folder / "config.json")
    if row.name not in PRESET_OF:
        raise UserError(
            f"{folder} contains a {values.get('model_type')!r} model on {row.name}, but of transformers' own "
            f"retrievers only {', '.join(CLASSES.values())} are supported; give its folder as colpali-engine or "
            "sentence-transformers saved it."
        )
    config = RetrieverConfig(
        row.name, backbone_config, "late", values.get("embedding_dim", 128), read_preset(folder, row)
    )
    tensors = canonical(row, read_tensors(folder), str(folder))
    return RetrieverCheckpoint(
        config, read_tokenizer(folder), tensors, str(folder), differences(folder, backbone_config, tensors)
    )


def read_preset(folder: Path, row: BackboneSpec) -> Preset:
    """The frame that transformers' processor of that backbone gives, with what its own file changes in it."""
    preset = find_preset(PRESET_OF[row.name])
    file = folder / "processor_config.json"
    stated = read_json(file) if file.is_file() else {}
    prefix = stated.get("query_prefix", preset.query_prefix)
    prompt = stated.get("visual_prompt_prefix", visual_prompt(preset, row))
    budget = visual_budget(folder) or preset.max_visual_tokens
    page = preset.page_prompt.replace(visual_prompt(preset, row), prompt)
    return replace(preset, query_prefix=prefix, page_prompt=page, max_visual_tokens=budget)


def visual_prompt(preset: Preset, row: BackboneSpec) -> str:
    """What transformers' processor calls so: for PaliGemma the text after the image, else all of it."""
    if row.name == "paligemma":
        return preset.page_prompt.removeprefix(f"{IMAGE}<bos>").removesuffix("\n")
    return preset.page_prompt.replace(IMAGE, row.image_token)


def expresses(preset: Preset, row: BackboneSpec) -> bool:
    """Can transformers' processor be set to frame queries and pages as this preset does?"""
    standard = find_preset(PRESET_OF[row.name])
    settable = {"name", "query_prefix", "page_prompt", "max_visual_tokens"}
    same = all(getattr(preset, name) == value for name, value in vars(standard).items() if name not in settable)
    return same and (row.name != "paligemma" or preset.page_prompt.startswith(f"{IMAGE}<bos>"))


def require_expressible(config: RetrieverConfig) -> None:
    """
    Raises:
        UserError: transformers has no class or processor for what the model is.
    """
    row = BACKBONES[config.backbone]
    if row.name not in CLASSES or config.interaction != "late":
        raise UserError(
            f"transformers has no class for {config.interaction} vectors on {row.name} (only {', '.join(CLASSES)} "
            "with late interaction); export to sentence-transformers or engine instead."
        )
    if not expresses(config.preset, row):
        raise UserError(
            f"transformers' {CLASSES[row.name]}Processor cannot use the query prompt of the preset "
            f"{config.preset.name}, and another prompt gives other embeddings; export to sentence-transformers, or "
            f"train with {PRESET_OF[row.name]}."
        )


def write(model: Retriever, folder: Path) -> None:
    """Writes into `folder` what transformers itself saves of the same model and processor."""
    import transformers

    config, row = model.config, model.row
    name = CLASSES[row.name]
    vlm = transformers.CONFIG_MAPPING[row.model_type].from_dict(config.backbone_config)
    settings = getattr(transformers, f"{name}Config")(vlm_config=vlm, embedding_dim=config.dim)
    with torch.device("meta"):
        native = getattr(transformers, f"{name}ForRetrieval")(settings)
    ours = canonical(row, model.state_dict(), "the model")
    wanted = {key: row.canonical(key) for key in native.state_dict() if "lm_head" not in key}
    missing = sorted(set(wanted.values()) ^ set(ours))
    if missing:
        raise UserError(f"transformers' model has other weights than this one: {name_some(missing)}.")
    native.load_state_dict({key: ours[name] for key, name in wanted.items()}, assign=True, strict=False)
    with stage(f"writing {in_gb(ours.nbytes)} of weights"):
        native.to(ours.dtype).save_pretrained(folder, max_shard_size=SHARD)
    processor = getattr(transformers, f"{name}Processor")(
        image_processor(model),
        describe_tokenizer(model),
        visual_prompt_prefix=visual_prompt(config.preset, row),
        query_prefix=config.preset.query_prefix,
        **tile_length(model),
    )
    processor.save_pretrained(folder)
