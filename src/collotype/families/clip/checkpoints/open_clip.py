"""open_clip's layout of the hub: `open_clip_config.json` and the weights, as `push_to_hf_hub` writes them."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from collotype.families.clip.checkpoints.checkpoint import ClipCheckpoint, plain, require_vocabulary
from collotype.families.clip.checkpoints.locations import OPEN_CLIP, PICKLE, SAFETENSORS
from collotype.families.clip.config import (
    LOGIT_SCALE,
    ClipConfig,
    PreprocessConfig,
    TextConfig,
    VisionConfig,
)
from collotype.families.clip.model import Clip
from collotype.families.clip.tokenizer import bpe_tokenizer
from collotype.runtime.errors import UserError
from collotype.runtime.files import write_json
from collotype.runtime.model_folder import read_json
from collotype.runtime.tensor_files import read_state, write_tensors

NEUTRAL: dict[str, dict[str, Any]] = {
    "model_cfg": {"custom_text": (False, True), "multimodal_cfg": (None,)},
    "vision_cfg": {"pos_embed_type": ("learnable",), "pool_type": ("tok",), "block_type": (None, "default")},
    "text_cfg": {
        "pool_type": ("argmax",),
        "proj_type": ("linear",),
        "block_type": (None, "default"),
        "tokenizer_kwargs": (None, {}, {"clean": "lower"}),
        "pad_id": (0,),
        "eos_id": (2,),
        "hf_proj_type": ("mlp",),
        "hf_pooler_type": ("mean_pooler",),
        "hf_model_pretrained": (True, False),
    },
    "preprocess_cfg": {"mode": ("RGB",), "fill_color": (0, None)},
}
"""Values of fields that we have no other of, beside "off" (none, false, 0): with these the model is one of ours."""
SIZED_FIELDS = ("attn_pooler_queries", "attn_pooler_heads", "timm_pool", "timm_proj", "timm_proj_bias")
"""Of parts that other fields switch on; without these they say nothing."""


def can_load(folder: Path) -> bool:
    return (folder / OPEN_CLIP).is_file()


def read(folder: Path) -> ClipCheckpoint:
    """
    Raises:
        UserError: an architecture or a vocabulary that is not one of ours, or files are missing or damaged.
    """
    config = from_open_clip(read_json(folder / OPEN_CLIP), str(folder / OPEN_CLIP))
    weights = next((folder / name for name in (SAFETENSORS, PICKLE) if (folder / name).is_file()), None)
    if weights is None:
        raise UserError(f"{folder} contains neither {SAFETENSORS} nor {PICKLE}; copy the folder again.")
    tokenizer = bpe_tokenizer(config.text_cfg.context_length)
    require_vocabulary(config, tokenizer, str(folder / OPEN_CLIP))
    return ClipCheckpoint(config, tokenizer, plain(read_state(weights), str(weights)), str(weights))


def from_open_clip(values: Mapping[str, Any], origin: str) -> ClipConfig:
    """Our configuration of open_clip's `{model_cfg, preprocess_cfg}`. Where it names no `quick_gelu`, that means GELU.

    Raises:
        UserError: a field that means another architecture than ours, naming it.
    """
    for name in ("model_cfg", "preprocess_cfg"):
        if not isinstance(values.get(name, {}), Mapping):
            raise UserError(f"{origin}: {name} is {values[name]!r}; it must be an object with fields.")
    model, prepare = dict(values.get("model_cfg") or {}), dict(values.get("preprocess_cfg") or {})
    missing = [name for name in ("embed_dim", "vision_cfg", "text_cfg") if name not in model]
    if missing:
        raise UserError(f"{origin}: model_cfg has no {', '.join(missing)}; copy the folder again.")
    vision = only_ours("vision_cfg", model.pop("vision_cfg"), VisionConfig, origin)
    given = {
        "vision_cfg": vision,
        "text_cfg": only_ours("text_cfg", model.pop("text_cfg"), TextConfig, origin),
        "preprocess_cfg": preprocessing(prepare, vision.get("image_size", VisionConfig.image_size), origin),
        "activation": "quick_gelu" if model.pop("quick_gelu", False) else "gelu",
        **only_ours("model_cfg", model, ClipConfig, origin),
    }
    return ClipConfig.from_dict(given)


def preprocessing(values: dict[str, Any], image_size: int, origin: str) -> dict[str, Any]:
    size = values.pop("size", image_size)
    if size not in (image_size, [image_size, image_size]):
        raise UserError(f"{origin}: preprocess_cfg.size is {size}, but the model takes images of {image_size} pixels.")
    return only_ours("preprocess_cfg", values, PreprocessConfig, origin)


def only_ours(name: str, values: Mapping[str, Any], kind: type, origin: str) -> dict[str, Any]:
    """The fields we have of one of open_clip's configurations, where the others change nothing."""
    if not isinstance(values, Mapping):
        raise UserError(f"{origin}: {name} is {values!r}; it must be an object with fields.")
    ours = {field.name for field in fields(kind)}
    neutral = NEUTRAL.get(name, {})
    for field, value in values.items():
        if field not in ours | set(SIZED_FIELDS) and value and value not in neutral.get(field, ()):
            raise UserError(
                f"{origin}: {name}.{field} is {value!r}, which is not supported; Collotype's CLIP has a ResNet or ViT, "
                "a causal text transformer, and CLIP's own vocabulary."
            )
    return {field: value for field, value in values.items() if field in ours and value is not None}


def to_open_clip(config: ClipConfig) -> dict[str, Any]:
    """The inverse of `from_open_clip`; defaults that published files leave out are left out."""
    vision, text = config.vision_cfg, config.text_cfg
    layers = list(vision.stages) if vision.is_resnet else vision.layers
    model: dict[str, Any] = {
        "embed_dim": config.embed_dim,
        "vision_cfg": {
            "image_size": vision.image_size,
            "layers": layers,
            "width": vision.width,
            "patch_size": vision.patch_size,
            **changed(vision, VisionConfig, "head_width", "mlp_ratio"),
        },
        "text_cfg": {
            "context_length": text.context_length,
            "vocab_size": text.vocab_size,
            "width": text.width,
            "heads": text.heads,
            "layers": text.layers,
            **changed(text, TextConfig, "mlp_ratio"),
        },
    }
    if config.activation == "quick_gelu":
        model["quick_gelu"] = True
    if config.init_logit_scale != LOGIT_SCALE:
        model["init_logit_scale"] = config.init_logit_scale
    if config.init_logit_bias is not None:
        model["init_logit_bias"] = config.init_logit_bias
    prepare = config.preprocess_cfg
    return {
        "model_cfg": model,
        "preprocess_cfg": {
            "mean": list(prepare.mean),
            "std": list(prepare.std),
            "interpolation": prepare.interpolation,
            "resize_mode": prepare.resize_mode,
        },
    }


def changed(config: Any, kind: type, *names: str) -> dict[str, Any]:
    return {name: getattr(config, name) for name in names if getattr(config, name) != getattr(kind, name)}


def write(model: Clip, folder: Path) -> None:
    """Writes into `folder` what open_clip loads as `local-dir:FOLDER`.

    Raises:
        UserError: the model's vocabulary is not CLIP's.
    """
    if not model.tokenizer.is_bpe:
        raise UserError(
            "open_clip tokenizes captions with CLIP's vocabulary, but this model has its own of "
            f"{model.tokenizer.vocab_size:,} words; train with CLIP's to export it."
        )
    write_json(folder / OPEN_CLIP, to_open_clip(model.config))
    write_tensors(model.state_dict(), folder / SAFETENSORS)
