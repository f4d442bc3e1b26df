"""A text encoder for queries only: a distilled student, whose teacher encodes the pages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from collotype.families.retriever.backbones.spec import BackboneSpec, draw_words, last_hidden, positions
from collotype.families.retriever.transforms import VisualLayout

if TYPE_CHECKING:
    from torch import Tensor, nn

MAX_TOKENS = 576
"""A query's own and the preset's."""


def shape(hidden: int, layers: int, heads: int, inner: int) -> dict[str, Any]:
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    # no dropout: its masks are the only thing that would depend on how a batch is cut
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return {"text_config": {**sizes, **off, "intermediate_size": inner, "max_position_embeddings": MAX_TOKENS}}


def configure(size: Mapping[str, Any], vocabulary: Mapping[str, int]) -> dict[str, Any]:
    return {"text_config": {**size["text_config"], "vocab_size": max(vocabulary.values()) + 1, "pad_token_id": None}}


def build(config: Mapping[str, Any]) -> "nn.Module":
    from transformers import BertConfig, BertModel

    backbone = BertModel(BertConfig(**config["text_config"]), add_pooling_layer=False)
    draw_words(backbone.embeddings.word_embeddings.weight)
    return backbone


def forward(backbone: "nn.Module", inputs: "Mapping[str, Tensor]", causal: bool) -> "Tensor":
    """Tokens attend in both directions, however the teacher's do."""
    mask = inputs["attention_mask"]
    ids, places = inputs["input_ids"], positions(mask.long())
    return last_hidden(backbone, input_ids=ids, attention_mask=mask.long(), position_ids=places)


def no_layout(config: Mapping[str, Any], budget: int | None) -> VisualLayout:
    raise LookupError("a text encoder cannot embed page images")


ROW = BackboneSpec(
    name="text",
    model_type="bert",
    sizes={"tiny": shape(64, 2, 4, 128), "minilm": shape(384, 6, 12, 1536)},
    special_tokens=(),
    configure=configure,
    build=build,
    forward=forward,
    hidden_size=lambda config: config["text_config"]["hidden_size"],
    layout=no_layout,
    attention="any",
    image_token="",
    pad_token="",
    key_rules=(),
)
