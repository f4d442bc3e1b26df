"""Image transforms of CLIP, equal to OpenCLIP's, without torchvision.

Pixels travel as bytes [3, height, width]: the model scales them on its own device with `normalised`. Only random
erasing fills with noise that bytes cannot hold; a transform that erases gives float32, scaled already.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, ImageEnhance
from PIL.Image import Resampling

from collotype.families.clip.config import MEAN, STD
from collotype.runtime.pixels import ATTEMPTS, Channels, draw_crop, normalised, rgb, to_bytes

if TYPE_CHECKING:
    from torch import Tensor

Size = int | tuple[int, int]
"""A square's side, or (height, width), in pixels."""
RESAMPLINGS = {"bicubic": Resampling.BICUBIC, "bilinear": Resampling.BILINEAR}
"""What OpenCLIP evaluates with under each name of its configurations."""
ERASED_AREA, ERASED_ASPECT = (0.02, 1 / 3), (0.3, 1 / 0.3)
"""timm's: share of the image, and height / width, of what is erased."""


@dataclass(frozen=True)
class EvaluationTransform:
    """An image to bytes [3, height, width], pixel for pixel OpenCLIP's evaluation transform.

    Args:
        resize_mode: `shortest` side to the size and the middle of it cut out; `longest` side, and the rest black;
            `squash`: both sides, whatever the proportions.
    """

    size: Size
    mean: Channels = MEAN
    std: Channels = STD
    interpolation: str = "bicubic"
    resize_mode: Literal["shortest", "longest", "squash"] = "shortest"

    def __call__(self, image: Image.Image, rng: random.Random | None = None) -> "Tensor":
        """Nothing is drawn: `rng` is there for who calls either transform."""
        height, width = sides(self.size)
        resample = RESAMPLINGS[self.interpolation]
        if self.resize_mode == "squash":
            image = resized(image, (height, width), resample)
        elif self.resize_mode == "longest":
            image = resized(image, keeping_ratio(image.size, (height, width), max), resample)
            image = centre(image, (height, width))
        elif height == width:
            image = centre(resized(image, shortest_to(image.size, height), resample), (height, width))
        else:
            # the peer hands its interpolation on for squares only
            image = resized(image, keeping_ratio(image.size, (height, width), min), Resampling.BICUBIC)
            image = centre(image, (height, width))
        return to_bytes(image)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training images are varied: open_clip's `--aug-cfg`, whose key names these are.

    Args:
        scale: share of the image's area that is cut out, drawn evenly.
        ratio: width / height of what is cut out, drawn evenly on a logarithmic scale.
        color_jitter: strength of brightness, contrast, saturation (>= 0) and hue (0 to 0.5), applied in random order.
        color_jitter_prob: how often colours are changed, if `color_jitter` is given.
        gray_scale_prob: how often an image loses its colours.
        re_prob: how often rectangles are erased: filled with normal noise, as timm's `re_mode: pixel`.
        re_count: most rectangles of an image.
    """

    scale: tuple[float, float] = (0.9, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    color_jitter: tuple[float, float, float, float] | None = None
    color_jitter_prob: float = 1.0
    gray_scale_prob: float = 0.0
    re_prob: float = 0.0
    re_count: int = 1


@dataclass(frozen=True)
class ClipTrainTransform:
    """An image to bytes [3, height, width], varied by the random numbers it is called with; always bicubic.

    Where rectangles may be erased: float32, already scaled by `mean` and `std`.
    """

    size: Size
    augmentation: Augmentation = Augmentation()
    mean: Channels = MEAN
    std: Channels = STD

    def __call__(self, image: Image.Image, rng: random.Random) -> "Tensor":
        wanted = self.augmentation
        image = image.crop(draw_crop(image.size, wanted.scale, wanted.ratio, rng))
        image = rgb(resized(image, sides(self.size), Resampling.BICUBIC))
        if wanted.color_jitter and rng.random() < wanted.color_jitter_prob:
            image = jittered(image, wanted.color_jitter, rng)
        if wanted.gray_scale_prob and rng.random() < wanted.gray_scale_prob:
            image = image.convert("L")
        pixels = to_bytes(image)
        if not wanted.re_prob:
            return pixels
        pixels = normalised(pixels[None], self.mean, self.std)[0]
        if rng.random() < wanted.re_prob:
            erase(pixels, wanted.re_count, rng)
        return pixels


def sides(size: Size) -> tuple[int, int]:
    """(height, width)."""
    return (size, size) if isinstance(size, int) else size


def resized(image: Image.Image, size: tuple[int, int], resample: Resampling) -> Image.Image:
    """`size` is (height, width)."""
    wanted = size[::-1]
    return image if image.size == wanted else image.resize(wanted, resample)


def shortest_to(size: tuple[int, int], shortest: int) -> tuple[int, int]:
    """(height, width) of an image of (width, height) once its shorter side is `shortest`; torchvision's rounding."""
    longest = int(shortest * max(size) / min(size))
    return (longest, shortest) if size[0] <= size[1] else (shortest, longest)


def keeping_ratio(size: tuple[int, int], wanted: tuple[int, int], side: Any) -> tuple[int, int]:
    """The (height, width) to which an image of (width, height) is brought to touch a rectangle; timm's rounding.

    Args:
        side: `max`: the image fits inside of `wanted`; `min`: it covers it.
    """
    width, height = size
    ratio = side(height / wanted[0], width / wanted[1])
    return round(height / ratio), round(width / ratio)


def centre(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle (height, width) of an image, black around it where it is smaller; torchvision's rounding."""
    height, width = size
    if image.width < width or image.height < height:
        around = Image.new(image.mode, (max(width, image.width), max(height, image.height)))
        if image.mode == "P":
            around.putpalette(image.getpalette() or [])
        around.paste(image, (max(0, width - image.width) // 2, max(0, height - image.height) // 2))
        image = around
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def jittered(image: Image.Image, strength: Sequence[float], rng: random.Random) -> Image.Image:
    """torchvision's ColorJitter: brightness, contrast, saturation by a factor around one, hue by a turn around none."""
    brightness, contrast, saturation, hue = strength
    around_one = [(max(0.0, 1 - part), 1 + part) for part in (brightness, contrast, saturation)]
    changes = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]
    drawn: list[tuple[Callable[[Image.Image], ImageEnhance._Enhance] | None, float]]
    drawn = [(change, rng.uniform(*span)) for change, span in zip(changes, around_one, strict=True) if span != (1, 1)]
    if hue:
        drawn.append((None, rng.uniform(-hue, hue)))
    for change, amount in rng.sample(drawn, len(drawn)):
        image = change(image).enhance(amount) if change else turned(image, amount)
    return image


def turned(image: Image.Image, hue: float) -> Image.Image:
    """Every hue moved around the colour wheel by `hue` of a turn."""
    hues, saturation, value = image.convert("HSV").split()
    moved = np.array(hues) + np.array(int(hue * 255) % 256, np.uint8)
    return Image.merge("HSV", (Image.fromarray(moved), saturation, value)).convert("RGB")


def erase(pixels: "Tensor", most: int, rng: random.Random) -> None:
    """Fills up to `most` rectangles of pixels [3, height, width] with normal noise: timm's RandomErasing."""
    import torch

    _, height, width = pixels.shape
    count = rng.randint(1, most)
    for _ in range(count):
        for _ in range(ATTEMPTS):
            area = rng.uniform(*ERASED_AREA) * height * width / count
            aspect = math.exp(rng.uniform(math.log(ERASED_ASPECT[0]), math.log(ERASED_ASPECT[1])))
            down, across = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if across < width and down < height:
                top, left = rng.randint(0, height - down), rng.randint(0, width - across)
                noise = np.random.default_rng(rng.getrandbits(64)).standard_normal((3, down, across), np.float32)
                pixels[:, top : top + down, left : left + across] = torch.from_numpy(noise)
                break
