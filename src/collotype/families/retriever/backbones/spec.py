"""What differs between backbones: about ten values."""

import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from collotype.families.retriever.transforms import VisualLayout

if TYPE_CHECKING:
    from torch import Tensor, nn

TINY_TEXT = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
"""A language model for tests and desks."""
TINY_VISION = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4}
"""A vision tower for them."""


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """One row of the table of backbones.

    `config` is always the dict form of the transformers configuration; B pages or queries, T tokens, H hidden width.
    """

    name: str
    model_type: str
    """What transformers calls it in config.json."""
    sizes: Mapping[str, Mapping[str, Any]]
    """Named configurations with random weights, without `vocab_size` and token ids."""
    special_tokens: tuple[str, ...]
    """What a vocabulary of words needs beside them, in the order of the ids."""
    configure: Callable[[Mapping[str, Any], Mapping[str, int]], dict[str, Any]]
    """(size, tokenizer's vocabulary) -> config."""
    build: "Callable[[Mapping[str, Any]], nn.Module]"
    """config -> the transformers model without its LM head, randomly initialised."""
    forward: "Callable[[nn.Module, Mapping[str, Tensor], bool], Tensor]"
    """(backbone, inputs, causal) -> last hidden states [B, T, H]; `causal` is how the preset has queries attend."""
    hidden_size: Callable[[Mapping[str, Any]], int]
    layout: Callable[[Mapping[str, Any], int | None], VisualLayout]
    """(config, visual budget of a page) -> how it looks at pages."""
    image_token: str
    pad_token: str
    key_rules: tuple[tuple[str, str], ...]
    """(pattern, replacement) pairs, applied in turn, that give a key of any published layout or transformers version
    its canonical name."""
    zero_norms: str = ""
    """A pattern of scales whose layer adds one to them, so that zeros are where they start."""
    settle: Callable[[dict[str, Any]], dict[str, Any]] = lambda config: config
    """A published configuration -> that of the parts which are run."""
    other_types: tuple[str, ...] = ()
    """What published retrievers on it that bring their own code are called in config.json."""
    published: Mapping[str, str] = field(default_factory=dict)
    """Repositories of the hub, and the size that their weights have."""
    attention: Literal["causal", "bidirectional", "prefix", "any"] = "causal"
    """How tokens see each other: always so; pages in both directions and queries as the preset says; all as it says."""
    optional_kernels: tuple[str, ...] = ()
    """Packages whose kernels transformers takes where they are installed, and its own torch code where they are not."""
    processor: str | None = None
    """Its processor's class in transformers, where that can be set to any preset; else there is no export to what
    builds one."""

    def kernels(self) -> dict[str, bool]:
        """Which of the optional kernels are here."""
        return {name: importlib.util.find_spec(name) is not None for name in self.optional_kernels}

    def canonical(self, key: str) -> str:
        for pattern, replacement in self.key_rules:
            key = re.sub(pattern, replacement, key)
        return key


def draw_patches(weight: "Tensor") -> None:
    """Gives a patch embedding, in place, a scale from which training from scratch starts; transformers draws it at one
    meant for pre-trained weights."""
    from torch import nn

    nn.init.normal_(weight, std=weight[0].numel() ** -0.5)


def draw_words(weight: "Tensor") -> None:
    """Gives a table of word embeddings, in place, rows of unit scale. Rows as small as the layers' weights drown in
    what the layers add to them: every vector is then alike, and training from scratch may never leave that point.
    (Gemma scales its embeddings itself.)"""
    from torch import nn

    nn.init.normal_(weight)


def last_hidden(backbone: "nn.Module", **inputs: Any) -> "Tensor":
    """What a transformers model makes of its inputs: [B, T, H]."""
    states: Tensor = backbone(**inputs).last_hidden_state
    return states


def attend(language_model: Any, causal: bool) -> None:
    """Makes the full-attention layers of a transformers language model causal or bidirectional, in place; recurrent
    ones stay as they are. Its config decides on a mask where there is padding, each layer where there is none."""
    language_model.config.is_causal = causal
    for layer in language_model.layers:
        if hasattr(layer, "self_attn"):
            layer.self_attn.is_causal = causal


def positions(mask: "Tensor") -> "Tensor":
    """The place [B, T] of every token, counted from the first of its row that is there: padding shifts none."""
    return (mask.cumsum(1) - 1).clamp(min=0)
