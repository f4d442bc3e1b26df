"""Qwen2-VL, the backbone of ColQwen2 and BiQwen2 (arXiv 2409.12191)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from collotype.families.retriever.backbones.spec import (
    TINY_TEXT,
    BackboneSpec,
    attend,
    draw_patches,
    draw_words,
    last_hidden,
)
from collotype.families.retriever.transforms import Dynamic

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGE_TOKEN = "<|image_pad|>"
TOKEN_IDS = {
    "image_token_id": IMAGE_TOKEN,
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
DEFAULT_BUDGET = 1280
TINY: dict[str, Any] = {
    "vision_config": {
        "depth": 2,
        "embed_dim": 96,
        "hidden_size": 128,
        "num_heads": 4,
        "mlp_ratio": 2,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "initializer_range": 0.05,
    },
    "text_config": {
        "model_type": "qwen2_vl_text",
        **TINY_TEXT,
        "initializer_range": 0.04,
        "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6], "rope_theta": 1e6, "rope_type": "default"},
    },
}

QWEN2_VL_2B = {
    "vision_config": {
        "depth": 32,
        "embed_dim": 1280,
        "hidden_size": 1536,
        "num_heads": 16,
        "mlp_ratio": 4,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
    "text_config": {
        "model_type": "qwen2_vl_text",
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24], "rope_theta": 1e6, "rope_type": "default"},
    },
}
"""As published (arXiv 2409.12191)."""


def configure(size: Mapping[str, Any], vocabulary: Mapping[str, int]) -> dict[str, Any]:
    end = vocabulary["<|endoftext|>"]
    text = {**size["text_config"], "vocab_size": len(vocabulary)}
    text |= {f"{name}_token_id": end for name in ("bos", "eos", "pad")}
    return {**size, "text_config": text, **{name: vocabulary[token] for name, token in TOKEN_IDS.items()}}


def build(config: Mapping[str, Any]) -> "nn.Module":
    from transformers import Qwen2VLConfig, Qwen2VLModel

    backbone = Qwen2VLModel(Qwen2VLConfig(**config))
    draw_patches(backbone.get_parameter("visual.patch_embed.proj.weight"))
    draw_words(backbone.get_parameter("language_model.embed_tokens.weight"))
    return backbone


def forward(backbone: Any, inputs: "Mapping[str, Tensor]", causal: bool) -> "Tensor":
    """Pages attend as queries do. What kind a token is decides its rotary position, so it is always given with
    images."""
    backbone.rope_deltas = None
    attend(backbone.language_model, causal)
    ids = inputs["input_ids"]
    images = {}
    if "pixel_values" in inputs:
        images = {name: inputs[name] for name in ("pixel_values", "image_grid_thw")}
        images["mm_token_type_ids"] = ids.eq(backbone.config.image_token_id).int()
    mask = inputs["attention_mask"].long()
    return last_hidden(backbone, input_ids=ids, attention_mask=mask, use_cache=False, **images)


def layout(config: Mapping[str, Any], budget: int | None) -> Dynamic:
    vision = config["vision_config"]
    return Dynamic(
        vision["patch_size"], vision["spatial_merge_size"], vision["temporal_patch_size"], budget or DEFAULT_BUDGET
    )


ROW = BackboneSpec(
    name="qwen2-vl",
    model_type="qwen2_vl",
    sizes={"tiny": TINY, "2b": QWEN2_VL_2B},
    published=dict.fromkeys(("Qwen/Qwen2-VL-2B", "Qwen/Qwen2-VL-2B-Instruct", "vidore/colqwen2-base"), "2b"),
    special_tokens=("<|endoftext|>", "<|im_start|>", "<|im_end|>", *TOKEN_IDS.values(), "<unk>", "\n"),
    configure=configure,
    build=build,
    forward=forward,
    hidden_size=lambda config: config["text_config"]["hidden_size"],
    layout=layout,
    attention="any",
    processor="Qwen2VLProcessor",
    image_token=IMAGE_TOKEN,
    pad_token="<|endoftext|>",
    key_rules=(
        (r"^base_model\.model\.", ""),
        (r"^(vlm\.|backbone\.)", ""),
        (r"^(model\.)?(visual|language_model)\.", r"backbone.\2."),
        (r"^(model\.)?(layers|embed_tokens|norm)\.", r"backbone.language_model.\2."),
        (r"^(model\.custom_text_proj|embedding_proj_layer)\.", "custom_text_proj."),
    ),
)
