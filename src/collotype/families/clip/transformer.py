"""Pre-norm transformer blocks, the ViT tower and the text tower, under the key names of published checkpoints.

Shapes: B images or captions, T tokens, W width, H heads, d width of a head, D embedding.
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from collotype.families.clip.config import Activation, VisionConfig


class QuickGelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


FUNCTIONS: dict[Activation, type[nn.Module]] = {"gelu": nn.GELU, "quick_gelu": QuickGelu}


class ClipAttention(nn.Module):
    """Self-attention with the keys, and the initialisation, of `nn.MultiheadAttention`."""

    def __init__(self, width: int, heads: int, causal: bool):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, W] -> [B, T, W]."""
        projected = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each [B, H, T, d]
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        found: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return found


class ClipBlock(nn.Module):
    """Attention and MLP, each on the normalised residual stream."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, activation: Activation, causal: bool):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = ClipAttention(width, heads, causal)
        self.ln_2 = nn.LayerNorm(width)
        inner = int(width * mlp_ratio)
        self.mlp = nn.Sequential(
            OrderedDict(c_fc=nn.Linear(width, inner), gelu=FUNCTIONS[activation](), c_proj=nn.Linear(inner, width))
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        x = x + self.mlp(self.ln_2(x))
        return x


class Transformer(nn.Module):
    """A stack of blocks."""

    def __init__(
        self, width: int, heads: int, layers: int, mlp_ratio: float, activation: Activation, causal: bool = False
    ):
        super().__init__()
        self.resblocks = nn.ModuleList(ClipBlock(width, heads, mlp_ratio, activation, causal) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.resblocks:
            x = block(x)
        return x

    def initialize(self) -> None:
        """As published for the text tower: depth does not change the scale of the residual stream."""
        blocks: list[Any] = [*self.resblocks]
        for block in blocks:
            width = block.attn.out_proj.in_features
            into_stream = (width * 2 * len(blocks)) ** -0.5
            nn.init.normal_(block.attn.in_proj_weight, std=width**-0.5)
            nn.init.normal_(block.attn.out_proj.weight, std=into_stream)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * width) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=into_stream)


class VisionTransformer(nn.Module):
    """The ViT tower; its blocks keep torch's initialisation, as published."""

    def __init__(self, config: VisionConfig, embed_dim: int, activation: Activation):
        super().__init__()
        width, patch = config.width, config.patch
        scale = width**-0.5
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(config.positions, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, config.heads, config.stages[0], config.mlp_ratio, activation)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(scale * torch.randn(width, embed_dim))

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, D]."""
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        start = self.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        x = torch.cat([start, patches], dim=1) + self.positional_embedding
        x = self.transformer(self.ln_pre(x))
        embedded: Tensor = self.ln_post(x[:, 0]) @ self.proj
        return embedded

    def blocks(self) -> list[nn.Module]:
        return list(self.transformer.resblocks)
