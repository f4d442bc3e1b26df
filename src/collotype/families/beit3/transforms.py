"""Image transforms of BEiT-3: to bytes [3, S, S], which the model scales itself."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageEnhance, ImageOps
from PIL.Image import Resampling, Transform, Transpose

from collotype.runtime.pixels import draw_crop, rgb, to_bytes

if TYPE_CHECKING:
    from torch import Tensor

FILL = (128, 128, 128)
"""What comes in from outside of an image that is moved."""
OFTEN = 0.5
"""How often a drawn operation is carried out."""
MOST = 10
"""The magnitude at which operations do all they can: turn by 30 degrees, shear by 0.3, move by 10 pixels, 1.9 times the
brightness or sharpness."""


def squashed(image: Image.Image, side: int) -> "Tensor":
    """The published evaluation transform: the whole image, whatever its proportions, as a square of `side` pixels."""
    return to_bytes(rgb(image).resize((side, side), Resampling.BICUBIC))


@dataclass(frozen=True)
class Beit3TrainTransform:
    """The published training transform: a part of the image as a square, mirrored or not, then varied by RandAugment.

    Args:
        size: side of the square in pixels.
        scale: share of the image's area that is cut out, drawn evenly.
        ratio: width / height of what is cut out, drawn evenly on a logarithmic scale.
        flip_prob: how often images are mirrored, also those of questions for left and right.
        operations: of RandAugment; 0: without it.
        magnitude: of RandAugment, up to MOST.
    """

    size: int
    scale: tuple[float, float] = (0.5, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip_prob: float = 0.5
    operations: int = 2
    magnitude: float = 7

    def __call__(self, image: Image.Image, rng: random.Random) -> "Tensor":
        image = rgb(image).crop(draw_crop(image.size, self.scale, self.ratio, rng))
        image = image.resize((self.size, self.size), Resampling.BICUBIC)
        if rng.random() < self.flip_prob:
            image = image.transpose(Transpose.FLIP_LEFT_RIGHT)
        return to_bytes(rand_augmented(image, self.operations, self.magnitude, rng))


def rand_augmented(image: Image.Image, operations: int, magnitude: float, rng: random.Random) -> Image.Image:
    """RandAugment (arXiv 1909.13719) as BEiT-3 has it: drawn operations, each carried out half of the time, at one
    magnitude, to either side."""
    for name in rng.choices(list(OPERATIONS), k=operations):
        if rng.random() < OFTEN:
            image = OPERATIONS[name](image, magnitude / MOST * rng.choice((-1, 1)))
    return image


def enhanced(change: Callable[[Image.Image], ImageEnhance._Enhance]) -> Callable[[Image.Image, float], Image.Image]:
    return lambda image, level: change(image).enhance(0.1 + 1.8 * abs(level))


def moved(image: Image.Image, across: tuple[float, float, float], down: tuple[float, float, float]) -> Image.Image:
    """The pixel (x, y) is taken from (across · (x, y, 1), down · (x, y, 1)), linearly between pixels, whose middles are
    whole numbers, as OpenCV counts. (At the edges OpenCV fades to FILL over a pixel; Pillow does not.)"""
    halves = ((a, b, c + 0.5 * (1 - a - b)) for a, b, c in (across, down))
    data = [number for row in halves for number in row]
    return image.transform(image.size, Transform.AFFINE, data, Resampling.BILINEAR, fillcolor=FILL)


def turned(image: Image.Image, level: float) -> Image.Image:
    """By `level` of 30 degrees against the clock."""
    angle, x, y = math.radians(30 * level), image.width / 2, image.height / 2
    cos, sin = math.cos(angle), math.sin(angle)
    return moved(image, (cos, -sin, x - cos * x + sin * y), (sin, cos, y - sin * x - cos * y))


OPERATIONS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "Identity": lambda image, level: image,
    "AutoContrast": lambda image, level: ImageOps.autocontrast(image),
    "Equalize": lambda image, level: ImageOps.equalize(image),
    "Brightness": enhanced(ImageEnhance.Brightness),
    "Sharpness": enhanced(ImageEnhance.Sharpness),
    "ShearX": lambda image, level: moved(image, (1, -0.3 * level, 0), (0, 1, 0)),
    "ShearY": lambda image, level: moved(image, (1, 0, 0), (-0.3 * level, 1, 0)),
    "TranslateX": lambda image, level: moved(image, (1, 0, 10 * level), (0, 1, 0)),
    "TranslateY": lambda image, level: moved(image, (1, 0, 0), (0, 1, 10 * level)),
    "Rotate": turned,
}
"""Those that BEiT-3 draws from for questions: none changes a colour into another. A level is from -1 to 1; what has no
sides takes its size."""
