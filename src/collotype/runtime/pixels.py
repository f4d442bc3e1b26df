"""Pictures as tensors. Pixels travel as bytes; a model scales them on its own device."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Channels = tuple[float, float, float]
"""A number each for red, green and blue."""


def normalised(pixels: Tensor, mean: Channels, std: Channels) -> Tensor:
    """Bytes [B, 3, height, width] as float32 of that mean and spread by channel; what is no bytes stays."""
    if pixels.dtype is not torch.uint8:
        return pixels
    centre, spread = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (mean, std))
    return (pixels / 255 - centre) / spread


def rgb(image: Image.Image) -> Image.Image:
    """Without the copy that Pillow makes of what is RGB already."""
    return image if image.mode == "RGB" else image.convert("RGB")


def to_bytes(image: Image.Image) -> Tensor:
    """[3, height, width]."""
    return torch.from_numpy(np.asarray(rgb(image)).transpose(2, 0, 1).copy())
