"""CLIP's ResNet: three convolutions as stem, averages in place of strides, attention in place of the last average.

Shapes: B images, C channels, T = 1 + places, H heads, d width of a head, D embedding.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from collotype.families.clip.config import VisionConfig


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3, 1 × 1 convolutions; a stride is an average before the last of them."""

    expansion = 4

    def __init__(self, channels: int, planes: int, stride: int):
        super().__init__()
        wide = planes * self.expansion
        self.conv1 = nn.Conv2d(channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(planes, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = None
        if stride > 1 or channels != wide:
            narrow = nn.Conv2d(channels, wide, 1, bias=False)
            # published keys count from the convolution on
            parts = [("-1", nn.AvgPool2d(stride)), ("0", narrow), ("1", nn.BatchNorm2d(wide))]
            self.downsample = nn.Sequential(OrderedDict(parts))

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        inner = functional.relu(self.bn2(self.conv2(inner)), inplace=True)
        inner = self.bn3(self.conv3(self.avgpool(inner)))
        inner += x if self.downsample is None else self.downsample(x)
        return functional.relu(inner, inplace=True)


class AttentionPool2d(nn.Module):
    """Attention of the mean over all places, the only query whose answer is used, on the mean and the places.

    With one query it is cheaper to take the query to the tokens than the tokens to keys and values: per head
    q · (K x + b) = (Kᵀ q) · x + q · b, and Σ p (V x + c) = V (Σ p x) + c, for Σ p = 1.
    """

    def __init__(self, side: int, channels: int, heads: int, embed_dim: int):
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.randn(side**2 + 1, channels) * channels**-0.5)
        self.k_proj, self.q_proj, self.v_proj = (nn.Linear(channels, channels) for _ in range(3))
        self.c_proj = nn.Linear(channels, embed_dim)
        for projection in (self.q_proj, self.k_proj, self.v_proj, self.c_proj):
            nn.init.normal_(projection.weight, std=channels**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, side, side] -> [B, D]."""
        places = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([places.mean(1, keepdim=True), places], dim=1) + self.positional_embedding
        query = self.q_proj(tokens[:, 0]).unflatten(1, (self.heads, -1))
        query = query * query.shape[-1] ** -0.5
        key, value = (layer.weight.unflatten(0, (self.heads, -1)) for layer in (self.k_proj, self.v_proj))
        shift = (query * self.k_proj.bias.unflatten(0, (self.heads, -1))).sum(-1, keepdim=True)
        asked = torch.einsum("bhd,hdc->bhc", query, key)
        weights = (torch.einsum("bhc,btc->bht", asked, tokens) + shift).softmax(-1)
        mixed = torch.einsum("bht,btc->bhc", weights, tokens)
        answer = torch.einsum("bhc,hdc->bhd", mixed, value).flatten(1) + self.v_proj.bias
        projected: Tensor = self.c_proj(answer)
        return projected


class ModifiedResNet(nn.Module):
    """The ResNet tower.

    Args:
        channels_last: hold activations with the channels of a pixel side by side, which convolutions are faster with;
            weights, and what is computed, stay as they are.
    """

    def __init__(self, config: VisionConfig, embed_dim: int, channels_last: bool = True):
        super().__init__()
        width = config.width
        self.channels_last = channels_last
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(2)
        channels = width
        for stage, count in enumerate(config.stages):
            planes = width * 2**stage
            layers = []
            for number in range(count):
                layers.append(Bottleneck(channels, planes, stride=2 if stage and not number else 1))
                channels = planes * Bottleneck.expansion
                # a block starts as the identity, or as its downsampling
                nn.init.zeros_(layers[-1].bn3.weight)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.attnpool = AttentionPool2d(config.image_size // 32, channels, config.heads, embed_dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, D]."""
        x = pixels.contiguous(memory_format=torch.channels_last) if self.channels_last else pixels
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = functional.relu(norm(conv(x)), inplace=True)
        x = self.avgpool(x)
        for block in self.blocks():
            x = block(x)
        pooled: Tensor = self.attnpool(x)
        return pooled

    def blocks(self) -> list[nn.Module]:
        return [block for stage in range(1, 5) for block in self.get_submodule(f"layer{stage}").children()]
