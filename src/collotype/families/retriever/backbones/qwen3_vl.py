"""Qwen3-VL, the backbone of ColQwen3 (whose vectors have 320 values) and BiQwen3 (arXiv 2511.21631)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from collotype.families.retriever.backbones import qwen2_vl
from collotype.families.retriever.backbones.spec import TINY_TEXT, TINY_VISION
from collotype.families.retriever.transforms import HALF, Dynamic

if TYPE_CHECKING:
    from torch import nn

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


def published_size(
    hidden: int, mlp: int, layers: int, heads: int, vision: tuple[int, int, int], deepstack: list[int]
) -> dict[str, Any]:
    """Of a model of the family: its vision tower's layers, width and MLP, and the layers whose features go deeper."""
    depth, width, vision_mlp = vision
    return {
        "vision_config": {
            "depth": depth,
            "hidden_size": width,
            "intermediate_size": vision_mlp,
            "num_heads": 16,
            "out_hidden_size": hidden,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": deepstack,
        },
        "text_config": {
            "model_type": "qwen3_vl_text",
            "hidden_size": hidden,
            "intermediate_size": mlp,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151_936,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5e6,
                "mrope_section": [24, 20, 20],
                "mrope_interleaved": True,
            },
        },
    }


SIZES = {
    "tiny": TINY,
    "4b": published_size(2560, 9728, 36, 32, (24, 1024, 4096), [5, 11, 17]),
    "8b": published_size(4096, 12288, 36, 32, (27, 1152, 4304), [8, 16, 24]),
}


def build(config: Mapping[str, Any]) -> "nn.Module":
    from transformers import Qwen3VLConfig, Qwen3VLModel

    return Qwen3VLModel(Qwen3VLConfig(**config))


def layout(config: Mapping[str, Any], budget: int | None) -> Dynamic:
    as_before = qwen2_vl.layout(config, budget)
    return replace(as_before, min_tokens=min(LEAST_TOKENS, as_before.max_tokens), mean=HALF, std=HALF)


ROW = replace(
    qwen2_vl.ROW,
    name="qwen3-vl",
    model_type="qwen3_vl",
    other_types=("colqwen3", "ops_colqwen3", "qwen3_vl_nemotron_embed"),
    sizes=SIZES,
    published={
        "Qwen/Qwen3-VL-4B-Instruct": "4b",
        "Qwen/Qwen3-VL-8B-Instruct": "8b",
        "TomoroAI/tomoro-colqwen3-embed-4b": "4b",
        "TomoroAI/tomoro-colqwen3-embed-8b": "8b",
        "OpenSearch-AI/Ops-Colqwen3-4B": "4b",
        "Verm1ion/ColTurk-VDR-Qwen3VL-4B-v1.0": "4b",
        "nvidia/nemotron-colembed-vl-4b-v2": "4b",
        "nvidia/nemotron-colembed-vl-8b-v2": "8b",
    },
    build=build,
    layout=layout,
    processor="Qwen3VLProcessor",
)
