"""Images as tensors. Pixels travel as bytes; a model scales them on its own device."""

import math
import random
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

Channels = tuple[float, float, float]
"""A number each for red, green and blue."""
ATTEMPTS = 10
"""How often torchvision and timm try for a rectangle that fits."""


def normalised(pixels: "Tensor", mean: Channels, std: Channels) -> "Tensor":
    """Bytes [B, 3, height, width] as float32 of that mean and spread by channel; what is not in bytes stays."""
    import torch

    if pixels.dtype is not torch.uint8:
        return pixels
    centre, spread = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (mean, std))
    return (pixels / 255 - centre) / spread


def rgb(image: Image.Image) -> Image.Image:
    """Without the copy that Pillow makes of what is RGB already."""
    return image if image.mode == "RGB" else image.convert("RGB")


def to_bytes(image: Image.Image) -> "Tensor":
    """[3, height, width]."""
    import torch

    return torch.from_numpy(np.asarray(rgb(image)).transpose(2, 0, 1).copy())


def draw_crop(
    size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float], rng: random.Random
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of torchvision's RandomResizedCrop for an image of (width, height)."""
    width, height = size
    for _ in range(ATTEMPTS):
        area = width * height * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        across, down = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < across <= width and 0 < down <= height:
            top, left = rng.randint(0, height - down), rng.randint(0, width - across)
            return left, top, left + across, top + down
    # the middle, as much of it as the ratios allow
    across, down = width, height
    if width / height < min(ratio):
        down = round(width / min(ratio))
    elif width / height > max(ratio):
        across = round(height * max(ratio))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down
