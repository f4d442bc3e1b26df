"""BEiT-3's encoder: patches and words share the attention; each has its own set of all other weights.

Patches and words travel as two tensors, so no module has to be told where one ends: they meet in the attention only.

Shapes: B pairs of image and question, P = 1 + patches, T words, W width, H heads, d width of a head.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from collotype.families.beit3.config import Beit3Config
from collotype.families.beit3.sizes import UNUSED_ROWS

Streams = tuple[Tensor, Tensor]
"""Patches [B, P, W] and words [B, T, W]."""


class Multiway(nn.Module):
    """A module for patches, A, and one of the same kind for words, B: the published names."""

    def __init__(self, make: Callable[[], nn.Module]):
        super().__init__()
        self.A, self.B = make(), make()

    def forward(self, patches: Tensor, words: Tensor) -> Streams:
        return self.A(patches), self.B(words)


class Beit3Attention(nn.Module):
    """Self-attention of patches and words together, normalised before it is projected (sub-LN)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (
            Multiway(lambda: nn.Linear(width, width)) for _ in range(4)
        )
        self.inner_attn_ln = Multiway(lambda: nn.LayerNorm(width))

    def forward(self, patches: Tensor, words: Tensor, keys: Tensor | None, asking: Streams) -> Streams:
        """What the places `asking` find.

        Args:
            keys: bool [B, 1, 1, P + T], false where there is nothing to attend to; None: it is everywhere true.
        """
        query = self.by_head(self.q_proj(*asking))
        key, value = (self.by_head(project(patches, words)) for project in (self.k_proj, self.v_proj))
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=keys)
        found = found.transpose(1, 2).flatten(2)
        count = asking[0].shape[1]
        states: Streams = self.out_proj(*self.inner_attn_ln(found[:, :count], found[:, count:]))
        return states

    def shares(self, patches: Tensor, words: Tensor, keys: Tensor | None) -> Tensor:
        """How the first place divides its attention: float32 [B, P + T], the mean of all heads, sums of one."""
        query = self.by_head(self.q_proj(*first(patches, words))).float()
        key = self.by_head(self.k_proj(patches, words)).float()
        with torch.autocast(query.device.type, enabled=False):
            scores: Tensor = query @ key.mT * query.shape[-1] ** -0.5
        if keys is not None:
            scores = scores.masked_fill(~keys, -torch.inf)
        return scores.softmax(-1)[:, :, 0].mean(1)

    def by_head(self, streams: Streams) -> Tensor:
        """[B, H, P + T, d]."""
        by_head: Tensor = torch.cat(streams, dim=1).unflatten(2, (self.heads, -1)).transpose(1, 2)
        return by_head


def first(patches: Tensor, words: Tensor) -> Streams:
    """The first place alone, and no word: weights of words then get a gradient, of exactly zero."""
    return patches[:, :1], words[:, :0]


class FeedForward(nn.Module):
    """Normalised before the second projection (sub-LN)."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)
        self.ffn_layernorm = nn.LayerNorm(inner)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc2(self.ffn_layernorm(functional.gelu(self.fc1(x))))
        return x


class Beit3Block(nn.Module):
    """Attention and feed-forward, each on the normalised residual stream.

    Args:
        drop_path: how often, in training, an example goes around either of them.
    """

    def __init__(self, width: int, heads: int, inner: int, drop_path: float):
        super().__init__()
        self.drop_path = drop_path
        self.self_attn = Beit3Attention(width, heads)
        self.self_attn_layer_norm = Multiway(lambda: nn.LayerNorm(width))
        self.ffn = Multiway(lambda: FeedForward(width, inner))
        self.final_layer_norm = Multiway(lambda: nn.LayerNorm(width))

    def forward(self, patches: Tensor, words: Tensor, keys: Tensor | None, only_first: bool = False) -> Streams:
        """
        Args:
            only_first: compute the first place alone, [B, 1, W], and no word, [B, 0, W].
        """
        normed = self.self_attn_layer_norm(patches, words)
        found = self.self_attn(*normed, keys, first(*normed) if only_first else normed)
        stream = first(patches, words) if only_first else (patches, words)
        stream = self.added(stream, found)
        return self.added(stream, self.ffn(*self.final_layer_norm(*stream)))

    def added(self, stream: Streams, change: Streams) -> Streams:
        """The sum, for patches and words of an example alike without the change where it is dropped."""
        if self.training and self.drop_path:
            kept = 1 - self.drop_path
            scale = torch.empty(len(stream[0]), 1, 1, device=stream[0].device).bernoulli_(kept) / kept
            change = (change[0] * scale.to(change[0].dtype), change[1] * scale.to(change[1].dtype))
        return stream[0] + change[0], stream[1] + change[1]

    def shares(self, patches: Tensor, words: Tensor, keys: Tensor | None) -> Tensor:
        patches, words = self.self_attn_layer_norm(patches, words)
        return self.self_attn.shares(patches, words, keys)


class Beit3Encoder(nn.Module):
    """A stack of blocks over embedded patches and words, to which it adds their places."""

    def __init__(self, config: Beit3Config):
        super().__init__()
        width, rates = config.hidden_size, torch.linspace(0, config.drop_path, config.layers, device="cpu").tolist()
        patches = nn.Embedding(config.side**2 + 1 + UNUSED_ROWS, width)
        self.embed_positions = nn.ModuleDict({"A": patches, "B": nn.Embedding(config.text_positions, width)})
        inner = int(width * config.mlp_ratio)
        self.layers = nn.ModuleList(Beit3Block(width, config.heads, inner, rate) for rate in rates)

    def forward(self, patches: Tensor, words: Tensor, keys: Tensor | None, only_first: bool = False) -> Streams:
        """
        Args:
            keys: as of `Beit3Attention`.
            only_first: what is read is the first place: compute in the last block that one alone.
        """
        patches, words = self.before_last(patches, words, keys)
        states: Streams = self.layers[-1](patches, words, keys, only_first)
        return states

    def shares(self, patches: Tensor, words: Tensor, keys: Tensor | None) -> Tensor:
        """float32 [B, P + T]: how the first place divides its attention in the last block."""
        patches, words = self.before_last(patches, words, keys)
        last: Any = self.layers[-1]
        shares: Tensor = last.shares(patches, words, keys)
        return shares

    def before_last(self, patches: Tensor, words: Tensor, keys: Tensor | None) -> Streams:
        patches, words = patches + self.positions("A", patches), words + self.positions("B", words)
        for block in self.layers[:-1]:
            patches, words = block(patches, words, keys)
        return patches, words

    def positions(self, name: str, stream: Tensor) -> Tensor:
        positions = self.embed_positions.get_parameter(f"{name}.weight")
        return positions[UNUSED_ROWS : UNUSED_ROWS + stream.shape[1]]
