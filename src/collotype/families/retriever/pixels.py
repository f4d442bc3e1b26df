"""Page images to what a vision tower takes: as bytes, which the model scales on its own device.

A layout decides the size of a page, its number of visual tokens, and where on the page each of them looks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from collotype.runtime.errors import UserError

MAX_PIXELS = 2**28
"""A page with more pixels (a 40 MB file can hold them) is refused before it is decoded."""
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class Layout(Protocol):
    """How a backbone looks at pages."""

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """(rows, columns) of visual tokens of a page of that (width, height) in pixels."""

    def batch(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """The model's picture inputs: `pixel_values` uint8, and what else it needs."""

    def scaled(self, pixels: Tensor) -> Tensor:
        """Bytes as the vision tower was trained to see them, float32; what is scaled already stays."""

    def image_processor(self) -> tuple[str, dict[str, Any]]:
        """The class of transformers that makes the same pixels, and its settings."""


@dataclass(frozen=True)
class Square:
    """Every page stretched to one square, a visual token a patch (SigLIP of PaliGemma)."""

    size_px: int
    patch_px: int

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        side = self.size_px // self.patch_px
        return side, side

    def batch(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """`pixel_values` [B, 3, size, size]."""
        pages = [resized(image, (self.size_px, self.size_px)).transpose(2, 0, 1) for image in images]
        return {"pixel_values": torch.from_numpy(np.stack(pages))}

    def scaled(self, pixels: Tensor) -> Tensor:
        return (pixels * (1 / 255) - 0.5) / 0.5 if pixels.dtype is torch.uint8 else pixels

    def image_processor(self) -> tuple[str, dict[str, Any]]:
        side = {"height": self.size_px, "width": self.size_px}
        return "SiglipImageProcessor", {"size": side, "image_seq_length": (self.size_px // self.patch_px) ** 2}


@dataclass(frozen=True)
class Dynamic:
    """Pages in their own proportions, up to a budget of visual tokens, each of merge x merge patches (Qwen2-VL).

    Sizes and order of patches are those of transformers' Qwen2VLImageProcessor.
    """

    patch_px: int
    merge: int
    temporal: int
    max_tokens: int
    min_tokens: int = 4

    @property
    def token_px(self) -> int:
        return self.patch_px * self.merge

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) in pixels a page of that (width, height) is brought to.

        Raises:
            UserError: the page is more than 200 times as long as it is wide, or the other way round.
        """
        width, height = size
        if max(size) > 200 * min(size):
            raise UserError(f"A page of {width} x {height} pixels is too long for its width (200 times at most).")
        unit, least, most = self.token_px, self.min_tokens * self.token_px**2, self.max_tokens * self.token_px**2
        fitted = [round(side / unit) * unit for side in size]
        if fitted[0] * fitted[1] > most:
            shrink = math.sqrt(width * height / most)
            fitted = [max(unit, math.floor(side / shrink / unit) * unit) for side in size]
        elif fitted[0] * fitted[1] < least:
            stretch = math.sqrt(least / (width * height))
            fitted = [math.ceil(side * stretch / unit) * unit for side in size]
        return fitted[0], fitted[1]

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        width, height = self.size(size)
        return height // self.token_px, width // self.token_px

    def batch(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """`pixel_values` [patches of all pages, 3 * temporal * patch * patch]; `image_grid_thw` [B, 3], in patches."""
        patches = [self.patches(resized(image, self.size(image.size))) for image in images]
        grids = [(1, *(side * self.merge for side in self.grid(image.size))) for image in images]
        return {"pixel_values": torch.from_numpy(np.concatenate(patches)), "image_grid_thw": torch.tensor(grids)}

    def patches(self, page: np.ndarray) -> np.ndarray:
        """[patches, 3 * temporal * patch * patch] of a page [height, width, 3], merge x merge neighbours in a row."""
        height, width, channels = page.shape
        p, m = self.patch_px, self.merge
        blocks = page.reshape(height // (p * m), m, p, width // (p * m), m, p, channels).transpose(0, 3, 1, 4, 6, 2, 5)
        twice = np.repeat(blocks[:, :, :, :, :, None], self.temporal, axis=5)
        return twice.reshape(-1, channels * self.temporal * p * p)

    def scaled(self, pixels: Tensor) -> Tensor:
        if pixels.dtype is not torch.uint8:
            return pixels
        mean, std = (torch.tensor(values, device=pixels.device)[:, None] for values in (CLIP_MEAN, CLIP_STD))
        by_channel = pixels.unflatten(1, (3, -1)) * (1 / 255)
        return ((by_channel - mean) / std).flatten(1)

    def image_processor(self) -> tuple[str, dict[str, Any]]:
        unit = self.token_px**2
        sizes = {"shortest_edge": self.min_tokens * unit, "longest_edge": self.max_tokens * unit}
        cuts = {"patch_size": self.patch_px, "merge_size": self.merge, "temporal_patch_size": self.temporal}
        return "Qwen2VLImageProcessor", {"size": sizes, **cuts}


def resized(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """The page as an opaque RGB picture of that (width, height): uint8 [height, width, 3].

    Raises:
        UserError: it cannot be decoded, or has more than MAX_PIXELS.
    """
    name = getattr(image, "filename", "") or "a page image"
    if image.width * image.height > MAX_PIXELS:
        raise UserError(
            f"{name} has {image.width} x {image.height} pixels, more than the {MAX_PIXELS:,} a page may have; make it "
            "smaller or leave it out."
        )
    try:
        # an opaque page is what a reader sees: a transparent picture lies on white paper
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        image = image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{name} cannot be read as a picture ({error}); replace it or leave it out.") from error
    return np.asarray(image if image.size == size else image.resize(size, Image.Resampling.BICUBIC))
