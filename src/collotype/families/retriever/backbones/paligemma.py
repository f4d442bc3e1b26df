"""PaliGemma: SigLIP and Gemma, the backbone of ColPali and BiPali (arXiv 2407.01449)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from collotype.families.retriever.backbones.spec import BackboneSpec, draw_patches, last_hidden
from collotype.families.retriever.transforms import Square

if TYPE_CHECKING:
    from torch import Tensor, nn

TINY: dict[str, Any] = {
    "vision_config": {
        "model_type": "siglip_vision_model",
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 96,
        "patch_size": 16,
        "projection_dim": 128,
        "vision_use_head": False,
    },
    "text_config": {
        "model_type": "gemma",
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 32,
    },
    "projection_dim": 128,
}

LINES: dict[str, Any] = {**TINY, "vision_config": {**TINY["vision_config"], "image_size": 320, "patch_size": 40}}
"""Tiny, for pages of text: as many pixels as a line needs to be told from another, in few patches."""

PALIGEMMA_3B = {
    "vision_config": {
        "model_type": "siglip_vision_model",
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "image_size": 448,
        "patch_size": 14,
        "projection_dim": 2048,
        "vision_use_head": False,
    },
    "text_config": {
        "model_type": "gemma",
        "hidden_size": 2048,
        "intermediate_size": 16384,
        "num_hidden_layers": 18,
        "num_attention_heads": 8,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "vocab_size": 257_216,
    },
    "projection_dim": 2048,
}
"""As published (arXiv 2407.07726), at 448 pixels."""


def configure(size: Mapping[str, Any], vocabulary: Mapping[str, int]) -> dict[str, Any]:
    special = {f"{name}_token_id": vocabulary[f"<{name}>"] for name in ("pad", "bos", "eos")}
    text = {**size["text_config"], "vocab_size": len(vocabulary), **special}
    return {**size, "text_config": text, "image_token_index": vocabulary["<image>"], **special}


def build(config: Mapping[str, Any]) -> "nn.Module":
    from transformers import PaliGemmaConfig, PaliGemmaModel

    backbone = PaliGemmaModel(PaliGemmaConfig(**config))
    tower: Any = backbone.get_submodule("vision_tower")
    draw_patches(tower.get_input_embeddings().weight)
    return backbone


def forward(backbone: "nn.Module", inputs: "Mapping[str, Tensor]", causal: bool) -> "Tensor":
    """Pages attend in both directions; queries as their preset says.

    The token types are always given: without them transformers lets a query's attention depend on whether its batch has
    padding.
    """
    import torch

    ids, causal = inputs["input_ids"], causal and "pixel_values" not in inputs
    return last_hidden(
        backbone,
        input_ids=ids,
        attention_mask=inputs["attention_mask"].long(),
        token_type_ids=torch.full_like(ids, int(causal)),
        pixel_values=inputs.get("pixel_values"),
        use_cache=False,
    )


ROW = BackboneSpec(
    name="paligemma",
    model_type="paligemma",
    sizes={"tiny": TINY, "tiny-lines": LINES, "3b-448": PALIGEMMA_3B},
    published=dict.fromkeys(
        (
            "google/paligemma-3b-mix-448",
            "google/paligemma-3b-pt-448",
            "vidore/colpaligemma-3b-mix-448-base",
            "vidore/colpaligemma-3b-pt-448-base",
        ),
        "3b-448",
    ),
    special_tokens=("<pad>", "<eos>", "<bos>", "<unk>", "<image>", "<unused0>", "\n"),
    configure=configure,
    build=build,
    forward=forward,
    hidden_size=lambda config: config["text_config"]["hidden_size"],
    layout=lambda config, budget: Square(config["vision_config"]["image_size"], config["vision_config"]["patch_size"]),
    attention="prefix",
    processor="PaliGemmaProcessor",
    image_token="<image>",
    pad_token="<pad>",
    zero_norms=r"language_model\..*norm\.weight$",
    key_rules=(
        (r"^base_model\.model\.", ""),
        (r"^embedding_proj_layer\.", "custom_text_proj."),
        (r"^(vlm\.|model\.|backbone\.)*(?=vision_tower|multi_modal_projector|language_model)", "backbone."),
        (r"^backbone\.language_model\.model\.", "backbone.language_model."),
        (r"^backbone\.vision_tower\.vision_model\.", "backbone.vision_tower."),
    ),
)
