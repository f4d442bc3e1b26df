"""ModernVBERT (arXiv 2510.01149), the backbone of ColModernVBert and BiModernVBert: SigLIP's tiles before ModernBERT,
which looks in both directions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from collotype.families.retriever.backbones import idefics3
from collotype.families.retriever.backbones.spec import TINY_VISION, draw_patches, last_hidden
from collotype.families.retriever.transforms import Split

if TYPE_CHECKING:
    from torch import Tensor, nn

SPECIAL = {"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]"}
TINY = {
    "vision_config": {
        "model_type": "siglip_vision_model",
        **TINY_VISION,
        "image_size": 32,
        "patch_size": 8,
        "vision_use_head": False,
    },
    "text_config": {
        "model_type": "modernbert",
        "hidden_size": 128,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "global_attn_every_n_layers": 2,
        "local_attention": 64,
        "initializer_range": 0.04,
    },
    "pixel_shuffle_factor": 2,
}

MODERNVBERT_250M = {
    "vision_config": {
        "model_type": "siglip_vision_model",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 512,
        "patch_size": 16,
        "vision_use_head": False,
    },
    "text_config": {
        "model_type": "modernbert",
        "hidden_size": 768,
        "intermediate_size": 1152,
        "num_hidden_layers": 22,
        "num_attention_heads": 12,
        "vocab_size": 50_408,
        "max_position_embeddings": 7999,
        "global_attn_every_n_layers": 3,
        "local_attention": 128,
    },
    "pixel_shuffle_factor": 4,
}
"""As published (arXiv 2510.01149)."""


def configure(size: Mapping[str, Any], vocabulary: Mapping[str, int]) -> dict[str, Any]:
    ids = {f"{name}_token_id": vocabulary[token] for name, token in SPECIAL.items()}
    text = {**size["text_config"], "vocab_size": len(vocabulary), **ids}
    return {**size, "text_config": text, "image_token_id": vocabulary["<image>"]}


def settle(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without SigLIP's pooling, which nothing reads."""
    return {**config, "vision_config": {**config["vision_config"], "vision_use_head": False}}


def build(config: Mapping[str, Any]) -> "nn.Module":
    from transformers import ModernVBertConfig, ModernVBertModel

    backbone = ModernVBertModel(ModernVBertConfig(**settle(config)))
    tower: Any = backbone.get_submodule("vision_model")
    draw_patches(tower.get_input_embeddings().weight)
    return backbone


def forward(backbone: "nn.Module", inputs: "Mapping[str, Tensor]", causal: bool) -> "Tensor":
    """Bidirectional throughout. The tiles of all pages are given as those of one, in the order of their tokens."""
    images = {}
    if "pixel_values" in inputs:
        images = {"pixel_values": inputs["pixel_values"].flatten(0, -4)[None]}
    mask = inputs["attention_mask"].long()
    return last_hidden(backbone, input_ids=inputs["input_ids"], attention_mask=mask, **images)


def layout(config: Mapping[str, Any], budget: int | None) -> Split:
    return idefics3.layout({**config, "scale_factor": config["pixel_shuffle_factor"]}, budget)


ROW = replace(
    idefics3.ROW,
    name="modernvbert",
    model_type="modernvbert",
    sizes={"tiny": TINY, "250m": MODERNVBERT_250M},
    published=dict.fromkeys(
        [f"ModernVBERT/{name}" for name in ("modernvbert", "colmodernvbert", "colmodernvbert-base", "bimodernvbert")],
        "250m",
    ),
    special_tokens=(*SPECIAL.values(), *idefics3.TILE_TOKENS, "<end_of_utterance>", "<unk>", "\n"),
    settle=settle,
    configure=configure,
    build=build,
    forward=forward,
    attention="bidirectional",
    layout=layout,
    pad_token="[PAD]",
    key_rules=(
        *idefics3.ROW.key_rules,
        (r"^model\.(?=custom_text_proj)", ""),
        (r"(?<=modality_projection)\.proj\.", "."),
    ),
)
