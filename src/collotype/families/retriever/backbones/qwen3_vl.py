"""Qwen3-VL, the backbone of ColQwen3 (whose vectors have 320 values) and BiQwen3 (arXiv 2511.21631)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from collotype.families.retriever.backbones import qwen2_vl
from collotype.families.retriever.backbones.row import TINY_TEXT, TINY_VISION
from collotype.families.retriever.pixels import HALF, Dynamic

LEAST_TOKENS = 64
"""Smaller pages are enlarged: 65,536 pixels in the published preprocessor_config.json."""
TINY = {
    "vision_config": {
        **TINY_VISION,
        "out_hidden_size": 128,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    },
    "text_config": {
        "model_type": "qwen3_vl_text",
        **TINY_TEXT,
        "head_dim": 32,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 5e6,
            "mrope_section": [6, 5, 5],
            "mrope_interleaved": True,
        },
    },
}


def build(config: Mapping[str, Any]) -> nn.Module:
    from transformers import Qwen3VLConfig, Qwen3VLModel

    return Qwen3VLModel(Qwen3VLConfig(**config))


def layout(config: Mapping[str, Any], budget: int | None) -> Dynamic:
    as_before = qwen2_vl.layout(config, budget)
    return replace(as_before, min_tokens=min(LEAST_TOKENS, as_before.max_tokens), mean=HALF, std=HALF)


ROW = replace(
    qwen2_vl.ROW,
    name="qwen3-vl",
    model_type="qwen3_vl",
    sizes={"tiny": TINY},
    build=build,
    layout=layout,
    processor="Qwen3VLProcessor",
)
