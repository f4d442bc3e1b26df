"""Idefics3 (arXiv 2408.12637) as SmolVLM has it, the backbone of ColSmol: pages in tiles."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from collotype.families.retriever.backbones.spec import TINY_TEXT, TINY_VISION, BackboneSpec, last_hidden, positions
from collotype.families.retriever.transforms import Split

if TYPE_CHECKING:
    from torch import Tensor, nn

NAMED_TILES = 6
"""Lines and columns of tiles that the vocabulary has names for."""
TILE_NAMES = [f"<row_{1 + tile // NAMED_TILES}_col_{1 + tile % NAMED_TILES}>" for tile in range(NAMED_TILES**2)]
TILE_TOKENS = ("<fake_token_around_image>", "<image>", "<global-img>", *TILE_NAMES)
PUBLISHED_TILES = 4
"""Tiles along the longer side of a page in every published preprocessor_config.json."""
TINY = {
    "vision_config": {"model_type": "idefics3_vision", **TINY_VISION, "image_size": 32, "patch_size": 8},
    "text_config": {"model_type": "llama", **TINY_TEXT},
    "scale_factor": 2,
}


def configure(size: Mapping[str, Any], vocabulary: Mapping[str, int]) -> dict[str, Any]:
    special = {"bos": "<|im_start|>", "eos": "<end_of_utterance>", "pad": "<|im_end|>"}
    ids = {f"{name}_token_id": vocabulary[token] for name, token in special.items()}
    text = {**size["text_config"], "vocab_size": len(vocabulary), **ids}
    return {**size, "text_config": text, "image_token_id": vocabulary["<image>"]}


def build(config: Mapping[str, Any]) -> "nn.Module":
    from transformers import Idefics3Config, Idefics3Model

    return Idefics3Model(Idefics3Config(**config))


def forward(backbone: "nn.Module", inputs: "Mapping[str, Tensor]", causal: bool) -> "Tensor":
    """Causal throughout. The tiles of all pages are given as those of one, in the order of their tokens, so that none
    is padding."""
    mask = inputs["attention_mask"].long()
    images = {"pixel_values": inputs["pixel_values"][None]} if "pixel_values" in inputs else {}
    text = {"input_ids": inputs["input_ids"], "attention_mask": mask, "position_ids": positions(mask)}
    return last_hidden(backbone, **text, **images, use_cache=False)


def layout(config: Mapping[str, Any], budget: int | None) -> Split:
    """The largest cut whose tiles, for a square page, and whole page stay within the budget."""
    vision, tiles = config["vision_config"], PUBLISHED_TILES
    side = vision["image_size"] // vision["patch_size"] // config["scale_factor"]
    if budget:
        tiles = max(1, min(NAMED_TILES, math.isqrt(max(0, budget // side**2 - 1))))
    return Split(vision["image_size"], side, tiles)


ROW = BackboneSpec(
    name="idefics3",
    model_type="idefics3",
    sizes={"tiny": TINY},
    special_tokens=("<|im_start|>", "<|im_end|>", *TILE_TOKENS, "<end_of_utterance>", "<unk>", "\n"),
    configure=configure,
    build=build,
    forward=forward,
    hidden_size=lambda config: config["text_config"]["hidden_size"],
    layout=layout,
    processor="Idefics3Processor",
    image_token="<image>",
    pad_token="<|im_end|>",
    key_rules=(
        (r"^base_model\.model\.", ""),
        (r"^(vlm\.|model\.|backbone\.)*(?=vision_model|connector|text_model)", "backbone."),
        (r"^backbone\.vision_model\.vision_model\.", "backbone.vision_model."),
        (r"^(linear|embedding_proj_layer)\.", "custom_text_proj."),
    ),
)
