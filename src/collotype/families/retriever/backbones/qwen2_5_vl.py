"""Qwen2.5-VL, the backbone of ColQwen2.5 and BiQwen2.5 (arXiv 2502.13923): its vision tower looks through windows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from collotype.families.retriever.backbones import qwen2_vl
from collotype.families.retriever.backbones.spec import TINY_VISION

if TYPE_CHECKING:
    from torch import nn

TINY = {
    "vision_config": {
        **TINY_VISION,
        "out_hidden_size": 128,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    },
    "text_config": {**qwen2_vl.TINY["text_config"], "model_type": "qwen2_5_vl_text"},
}


def build(config: Mapping[str, Any]) -> "nn.Module":
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLModel

    return Qwen2_5_VLModel(Qwen2_5_VLConfig(**config))


ROW = replace(
    qwen2_vl.ROW,
    name="qwen2.5-vl",
    model_type="qwen2_5_vl",
    sizes={"tiny": TINY},
    build=build,
    processor="Qwen2_5_VLProcessor",
)
