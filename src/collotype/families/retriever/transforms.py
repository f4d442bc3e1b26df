"""Image transforms of pages: to bytes, which the model scales on its own device.

A layout decides the size of a page, its number of visual tokens, and where on the page each of them looks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from collotype.runtime.errors import UserError
from collotype.runtime.images import opaque

if TYPE_CHECKING:
    from torch import Tensor

Channels = tuple[float, float, float]
HALF: Channels = (0.5, 0.5, 0.5)
CLIP_MEAN: Channels = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Channels = (0.26862954, 0.26130258, 0.27577711)


class VisualLayout(Protocol):
    """How a backbone looks at pages."""

    token_px: int
    """Side of the square that a visual token looks at."""

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """(rows, columns) of the places at which a page of that (width, height) in pixels is looked at."""

    def order(self, size: tuple[int, int]) -> np.ndarray:
        """Which of the page's visual tokens, numbered as they come, looks at each place: [rows, columns]."""
        rows, columns = self.grid(size)
        return np.arange(rows * columns).reshape(rows, columns)

    def text(self, size: tuple[int, int], image_token: str) -> str:
        """What stands for the page in its prompt."""
        rows, columns = self.grid(size)
        return image_token * (rows * columns)

    def batch(self, images: Sequence[Image.Image]) -> "dict[str, Tensor]":
        """The model's image inputs: `pixel_values` uint8, and what else it needs."""

    def scaled(self, pixels: "Tensor") -> "Tensor":
        """Bytes as the vision tower was trained to see them, float32; what is scaled already stays."""

    def image_processor(self) -> tuple[str, dict[str, Any]]:
        """The class of transformers that makes the same pixels, and its settings."""


@dataclass(frozen=True)
class Square(VisualLayout):
    """Every page stretched to one square (SigLIP of PaliGemma and Gemma 3).

    Args:
        token_px: side of the square that a visual token looks at.
    """

    size_px: int
    token_px: int
    resample: Resampling = Resampling.BICUBIC

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        side = self.size_px // self.token_px
        return side, side

    def batch(self, images: Sequence[Image.Image]) -> "dict[str, Tensor]":
        """`pixel_values` [B, 3, size, size]."""
        pages = [np.asarray(resized(opaque(image), (self.size_px,) * 2, self.resample)) for image in images]
        return {"pixel_values": channels_first(pages)}

    def scaled(self, pixels: "Tensor") -> "Tensor":
        return normalised(pixels, HALF, HALF)

    def image_processor(self) -> tuple[str, dict[str, Any]]:
        side = {"height": self.size_px, "width": self.size_px}
        length = (self.size_px // self.token_px) ** 2
        return "SiglipImageProcessor", {"size": side, "resample": int(self.resample), "image_seq_length": length}


@dataclass(frozen=True)
class Split(VisualLayout):
    """Pages cut into square tiles, and after them the whole page in one (Idefics3, SmolVLM, ModernVBERT).

    Sizes and tiles are those of transformers' Idefics3ImageProcessor.

    Args:
        tile_tokens: visual tokens along a side of a tile.
        tiles: along the longer side of a page.
    """

    tile_px: int
    tile_tokens: int
    tiles: int
    token_px: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "token_px", self.tile_px // self.tile_tokens)

    def fitted(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) in pixels to which a page is first brought, in its own proportions."""
        width, height = lengthened(size, self.tiles * self.tile_px)
        return (width, even(height)) if size[0] >= size[1] else (even(width), height)

    def cut(self, size: tuple[int, int]) -> tuple[int, int]:
        """(rows, columns) of tiles of a page of that (width, height)."""
        fitted = self.fitted(size)
        sides = lengthened(fitted, math.ceil(max(fitted) / self.tile_px) * self.tile_px)
        columns, rows = (max(1, math.ceil(side / self.tile_px)) for side in sides)
        return rows, columns

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        rows, columns = self.cut(size)
        return rows * self.tile_tokens, columns * self.tile_tokens

    def order(self, size: tuple[int, int]) -> np.ndarray:
        (rows, columns), side = self.cut(size), self.tile_tokens
        by_tile = np.arange(rows * columns * side**2).reshape(rows, columns, side, side)
        return by_tile.swapaxes(1, 2).reshape(self.grid(size))

    def text(self, size: tuple[int, int], image_token: str) -> str:
        (rows, columns), edge = self.cut(size), "<fake_token_around_image>"
        tokens = image_token * self.tile_tokens**2
        whole = f"{edge}<global-img>{tokens}{edge}"
        if rows * columns == 1:
            return whole
        lines = [
            "".join(f"{edge}<row_{row}_col_{column}>{tokens}" for column in range(1, columns + 1))
            for row in range(1, rows + 1)
        ]
        return "\n".join([*lines, "", whole])

    def batch(self, images: Sequence[Image.Image]) -> "dict[str, Tensor]":
        """`pixel_values` [tiles of all pages, 3, tile, tile]."""
        return {"pixel_values": channels_first([tile for image in images for tile in self.tiles_of(image)])}

    def tiles_of(self, image: Image.Image) -> list[np.ndarray]:
        """[tile, tile, 3] each, line by line, and the whole page where there is more than one."""
        (rows, columns), px = self.cut(image.size), self.tile_px
        page = resized(opaque(image), self.fitted(image.size), Resampling.LANCZOS)
        page = resized(page, (columns * px, rows * px), Resampling.LANCZOS)
        tiles = np.asarray(page).reshape(rows, px, columns, px, 3).swapaxes(1, 2).reshape(-1, px, px, 3)
        whole = [np.asarray(resized(page, (px, px), Resampling.LANCZOS))] if rows * columns > 1 else []
        return [*tiles, *whole]

    def scaled(self, pixels: "Tensor") -> "Tensor":
        return normalised(pixels, HALF, HALF)

    def image_processor(self) -> tuple[str, dict[str, Any]]:
        sizes = {"size": self.tiles * self.tile_px, "max_image_size": self.tile_px}
        return "Idefics3ImageProcessor", {name: {"longest_edge": side} for name, side in sizes.items()}


def lengthened(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """A (width, height) with its longer side made `longest`, rounded as transformers' Idefics3ImageProcessor does."""
    width, height = size
    ratio = width / height
    return (longest, int(longest / ratio)) if width >= height else (int(longest * ratio), longest)


def even(side: int) -> int:
    """The next even number; one for zero."""
    return max(1, side + side % 2)


@dataclass(frozen=True)
class Dynamic(VisualLayout):
    """Pages in their own proportions, up to a budget of visual tokens, each of merge x merge patches (Qwen-VL).

    Sizes and order of patches are those of transformers' Qwen2VLImageProcessor.
    """

    patch_px: int
    merge: int
    temporal: int
    max_tokens: int
    min_tokens: int = 4
    mean: Channels = CLIP_MEAN
    std: Channels = CLIP_STD
    token_px: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "token_px", self.patch_px * self.merge)

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) in pixels a page of that (width, height) is brought to.

        Raises:
            UserError: the page is more than 200 times as long as it is wide, or the other way round.
        """
        width, height = size
        if max(size) > 200 * min(size):
            raise UserError(
                f"A page of {width} x {height} pixels is more than 200 times as long as wide; cut it into parts."
            )
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

    def batch(self, images: Sequence[Image.Image]) -> "dict[str, Tensor]":
        """`pixel_values` [patches of all pages, 3 * temporal * patch * patch]; `image_grid_thw` [B, 3], in patches."""
        import torch

        patches = [self.patches(np.asarray(resized(opaque(image), self.size(image.size)))) for image in images]
        grids = [(1, *(side * self.merge for side in self.grid(image.size))) for image in images]
        return {"pixel_values": torch.from_numpy(np.concatenate(patches)), "image_grid_thw": torch.tensor(grids)}

    def patches(self, page: np.ndarray) -> np.ndarray:
        """[patches, 3 * temporal * patch * patch] of a page [height, width, 3], merge x merge neighbours in a row."""
        height, width, channels = page.shape
        p, m = self.patch_px, self.merge
        blocks = page.reshape(height // (p * m), m, p, width // (p * m), m, p, channels).transpose(0, 3, 1, 4, 6, 2, 5)
        twice = np.repeat(blocks[:, :, :, :, :, None], self.temporal, axis=5)
        return twice.reshape(-1, channels * self.temporal * p * p)

    def scaled(self, pixels: "Tensor") -> "Tensor":
        # of every patch, the values of one channel come together
        return normalised(pixels.unflatten(1, (3, -1)), self.mean, self.std).flatten(1)

    def image_processor(self) -> tuple[str, dict[str, Any]]:
        unit = self.token_px**2
        sizes = {"shortest_edge": self.min_tokens * unit, "longest_edge": self.max_tokens * unit}
        cuts = {"patch_size": self.patch_px, "merge_size": self.merge, "temporal_patch_size": self.temporal}
        return "Qwen2VLImageProcessor", {"size": sizes, **cuts, "image_mean": self.mean, "image_std": self.std}


def normalised(pixels: "Tensor", mean: Channels, std: Channels) -> "Tensor":
    """Bytes [B, 3, ...] as float32 of that mean and spread by channel; what is not in bytes stays."""
    import torch

    if pixels.dtype is not torch.uint8:
        return pixels
    shape = (3, *[1] * (pixels.dim() - 2))
    centre, spread = (torch.tensor(values, device=pixels.device).view(shape) for values in (mean, std))
    return (pixels * (1 / 255) - centre) / spread


def channels_first(pictures: Sequence[np.ndarray]) -> "Tensor":
    """Images [height, width, 3] of one size as bytes [B, 3, height, width]."""
    import torch

    return torch.from_numpy(np.stack([picture.transpose(2, 0, 1) for picture in pictures]))


def resized(image: Image.Image, size: tuple[int, int], resample: Resampling = Resampling.BICUBIC) -> Image.Image:
    return image if image.size == size else image.resize(size, resample)
