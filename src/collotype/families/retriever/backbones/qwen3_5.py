"""Qwen3.5, the backbone of ColQwen3.5 and BiQwen3.5: gated delta nets (arXiv 2412.06464), and full attention in every
fourth layer, which looks in both directions where the preset says so."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from collotype.families.retriever.backbones import qwen3_vl
from collotype.families.retriever.backbones.spec import TINY_TEXT, draw_patches, draw_words

if TYPE_CHECKING:
    from torch import nn

ROPE = {"rope_type": "default", "rope_theta": 1e7, "partial_rotary_factor": 0.25, "mrope_interleaved": True}
TINY = {
    "vision_config": {name: value for name, value in qwen3_vl.TINY["vision_config"].items() if "deepstack" not in name},
    "text_config": {
        "model_type": "qwen3_5_text",
        **TINY_TEXT,
        "head_dim": 32,
        "full_attention_interval": 2,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
        "initializer_range": 0.04,
        "rope_parameters": {**ROPE, "mrope_section": [2, 1, 1]},
    },
}


def published_size(
    hidden: int, mlp: int, layers: int, heads: tuple[int, int, int], vision: tuple[int, int, int, int]
) -> dict[str, Any]:
    """Of a model of the family: its text's attention, key-value and linear value heads, and its vision tower's layers,
    width, MLP and heads."""
    depth, width, vision_mlp, vision_heads = vision
    return {
        "vision_config": {
            "depth": depth,
            "hidden_size": width,
            "intermediate_size": vision_mlp,
            "num_heads": vision_heads,
            "out_hidden_size": hidden,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        "text_config": {
            "model_type": "qwen3_5_text",
            "hidden_size": hidden,
            "intermediate_size": mlp,
            "num_hidden_layers": layers,
            "num_attention_heads": heads[0],
            "num_key_value_heads": heads[1],
            "linear_num_value_heads": heads[2],
            "vocab_size": 248_320,
            "rope_parameters": {**ROPE, "mrope_section": [11, 11, 10]},
        },
    }


SIZES = {
    "tiny": TINY,
    "0.8b": published_size(1024, 3584, 24, (8, 2, 16), (12, 768, 3072, 12)),
    "4b": published_size(2560, 9216, 32, (16, 4, 32), (24, 1024, 4096, 16)),
    "9b": published_size(4096, 12288, 32, (16, 4, 32), (27, 1152, 4304, 16)),
}
"""The published ones have, to the parameter, the sizes that retrievers on them are listed with."""


def build(config: Mapping[str, Any]) -> "nn.Module":
    from transformers import Qwen3_5Config, Qwen3_5Model

    # which kernels compute is in the record; transformers would tell it on every start
    logging.getLogger("transformers.integrations.hub_kernels").setLevel(logging.ERROR)
    backbone = Qwen3_5Model(Qwen3_5Config(**config))
    draw_patches(backbone.get_parameter("visual.patch_embed.proj.weight"))
    draw_words(backbone.get_parameter("language_model.embed_tokens.weight"))
    return backbone


ROW = replace(
    qwen3_vl.ROW,
    name="qwen3.5",
    model_type="qwen3_5",
    other_types=(),
    sizes=SIZES,
    published={
        **{f"Qwen/Qwen3.5-{size.upper()}": size for size in ("0.8b", "4b", "9b")},
        "athrael-soju/colqwen3.5-4.5B-v3": "4b",
        "vultr/VultronRetrieverFlash-Qwen3.5-0.8B": "0.8b",
        "vultr/VultronRetrieverCore-Qwen3.5-4.5B": "4b",
        "vultr/VultronRetrieverPrime-Qwen3.5-8B": "9b",
        "tencent/EVIE-4.5B": "4b",
        "tencent/EVIE-8B": "9b",
        "perplexity-ai/pplx-embed-v2-late-9b": "9b",
    },
    build=build,
    optional_kernels=("fla", "causal_conv1d"),
    processor="Qwen3VLProcessor",
)
