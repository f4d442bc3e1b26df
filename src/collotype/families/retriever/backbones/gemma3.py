"""Gemma 3 (arXiv 2503.19786), the backbone of ColGemma3 and BiGemma3: SigLIP, its patches averaged to 256 tokens."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from PIL.Image import Resampling

from collotype.families.retriever.backbones import paligemma
from collotype.families.retriever.backbones.spec import TINY_TEXT, TINY_VISION, BackboneSpec, last_hidden, positions
from collotype.families.retriever.transforms import Square

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGE_TOKEN = "<image_soft_token>"
INDEX_OF = {"image": IMAGE_TOKEN, "boi": "<start_of_image>", "eoi": "<end_of_image>"}
TINY = {
    "vision_config": {
        "model_type": "siglip_vision_model",
        **TINY_VISION,
        "image_size": 96,
        "patch_size": 8,
        "vision_use_head": False,
    },
    "text_config": {
        "model_type": "gemma3_text",
        **TINY_TEXT,
        "head_dim": 32,
        "query_pre_attn_scalar": 32,
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 16,
    },
    "mm_tokens_per_image": 36,
}


def configure(size: Mapping[str, Any], vocabulary: Mapping[str, int]) -> dict[str, Any]:
    special = {f"{name}_token_id": vocabulary[f"<{name}>"] for name in ("pad", "bos", "eos")}
    text = {**size["text_config"], "vocab_size": len(vocabulary), **special}
    return {**size, "text_config": text} | {f"{name}_token_index": vocabulary[t] for name, t in INDEX_OF.items()}


def build(config: Mapping[str, Any]) -> "nn.Module":
    from torch import nn
    from transformers import Gemma3Config, Gemma3Model

    backbone = Gemma3Model(Gemma3Config(**config))
    # transformers leaves it zero, to be loaded: without weights all pages would be one
    projection = backbone.get_parameter("multi_modal_projector.mm_input_projection_weight")
    nn.init.normal_(projection, std=projection.shape[0] ** -0.5)
    return backbone


def forward(backbone: Any, inputs: "Mapping[str, Tensor]", causal: bool) -> "Tensor":
    """Causal, but for an image's own tokens, which see each other."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"].long()
    text = {"input_ids": ids, "attention_mask": mask, "position_ids": positions(mask)}
    kinds = ids.eq(backbone.config.image_token_id).long()
    pixels = inputs.get("pixel_values")
    return last_hidden(backbone, **text, token_type_ids=kinds, pixel_values=pixels, use_cache=False)


def layout(config: Mapping[str, Any], budget: int | None) -> Square:
    size_px = config["vision_config"]["image_size"]
    return Square(size_px, size_px // math.isqrt(config["mm_tokens_per_image"]), Resampling.BILINEAR)


ROW = BackboneSpec(
    zero_norms=r"language_model\..*norm\.weight$",
    name="gemma3",
    model_type="gemma3",
    sizes={"tiny": TINY},
    special_tokens=("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", *INDEX_OF.values(), "\n"),
    configure=configure,
    build=build,
    forward=forward,
    hidden_size=lambda config: config["text_config"]["hidden_size"],
    layout=layout,
    image_token=IMAGE_TOKEN,
    pad_token="<pad>",
    key_rules=paligemma.ROW.key_rules,
)
