"""Pixels of OpenCLIP's evaluation transform and of torchvision's colour operations (0.28, on the images of
`drawn`), and how training images are varied."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from PIL.Image import Resampling
from safetensors.torch import load_file

from collotype.families.clip.config import MEAN, STD
from collotype.families.clip.transforms import (
    Augmentation,
    ClipTrainTransform,
    EvaluationTransform,
    draw_crop,
    jittered,
    normalised,
    resized,
    to_bytes,
    turned,
)
from tests.families.clip.drawn import drawn

GOLDEN = load_file(Path(__file__).parent / "torchvision.safetensors")


def named(kind: str) -> list[str]:
    return [name for name in GOLDEN if name.startswith(f"{kind}/")]


@pytest.mark.parametrize("name", named("evaluate"))
def test_evaluation_pixels_are_open_clips(name: str) -> None:
    _, mode, picture, size, resize_mode, interpolation = name.split("/")
    wanted = tuple(map(int, size.split("x"))) if "x" in size else int(size)
    transform = EvaluationTransform(wanted, (0,) * 3, (1,) * 3, interpolation, resize_mode)
    width, height = map(int, picture.split("x"))
    assert torch.equal(transform(drawn(width, height, mode)), GOLDEN[name])


@pytest.mark.parametrize("name", named("crop"))
def test_cut_and_resized_as_torchvision_does(name: str) -> None:
    box = tuple(map(int, name.split("/")[1].split("x")))
    cut = resized(drawn(53, 37).crop(box), (16, 16), Resampling.BICUBIC)
    assert torch.equal(to_bytes(cut), GOLDEN[name])


@pytest.mark.parametrize("name", named("hue"))
def test_hues_turn_as_in_torchvision(name: str) -> None:
    assert torch.equal(to_bytes(turned(drawn(12, 9), float(name.split("/")[1]))), GOLDEN[name])


def test_colours_change_as_in_torchvision() -> None:
    changes = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
    }
    for name in (name for kind in changes for name in named(kind)):
        kind, amount = name.split("/")
        assert torch.equal(to_bytes(changes[kind](drawn(12, 9)).enhance(float(amount))), GOLDEN[name])
    assert torch.equal(to_bytes(drawn(12, 9).convert("L")), GOLDEN["grey/1"])


class Fixed(random.Random):
    """Draws the middle of every span (or its end), and shuffles nothing."""

    def __init__(self, part: float = 0.5):
        super().__init__(0)
        self.part = part

    def uniform(self, low: float, high: float) -> float:
        return low + self.part * (high - low)

    def sample(self, population: list, k: int) -> list:
        return population[:k]


def test_jitter_changes_brightness_contrast_saturation_and_hue_by_its_strength() -> None:
    image = drawn(12, 9)
    assert jittered(image, (0, 0, 0, 0), random.Random(0)) is image
    assert to_bytes(jittered(image, (0.3, 0, 0, 0), Fixed(1.0))).equal(GOLDEN["brightness/1.3"])
    assert to_bytes(jittered(image, (0, 0.4, 0, 0), Fixed(0.0))).equal(GOLDEN["contrast/0.6"])
    # more than all of it is none of it, not its negative
    assert to_bytes(jittered(image, (0, 0, 1.7, 0), Fixed(0.0))).equal(GOLDEN["saturation/0.0"])
    assert to_bytes(jittered(image, (0, 0, 0, 0.1), Fixed(1.0))).equal(GOLDEN["hue/0.1"])


def test_jitters_order_is_drawn() -> None:
    results = {
        to_bytes(jittered(drawn(12, 9), (1e-9, 0.9, 0.9, 0.3), Shuffled(seed))).numpy().tobytes() for seed in range(40)
    }
    assert len(results) > 5


class Shuffled(random.Random):
    """The end of every span, in a drawn order."""

    def uniform(self, low: float, high: float) -> float:
        return high


def test_crops_are_drawn_evenly_by_area_and_by_logarithm_of_ratio() -> None:
    rng, crops = random.Random(0), []
    for _ in range(4000):
        left, top, right, bottom = draw_crop((1000, 1000), (0.3, 0.6), (3 / 4, 4 / 3), rng)
        assert 0 <= left < right <= 1000 and 0 <= top < bottom <= 1000
        crops.append(((right - left) * (bottom - top) / 1e6, math.log((right - left) / (bottom - top)), left, top))
    areas, ratios, lefts, tops = np.array(crops).T
    for drawn_values, low, high in ((areas, 0.3, 0.6), (ratios, math.log(3 / 4), math.log(4 / 3))):
        quantiles = np.quantile((drawn_values - low) / (high - low), (0.01, 0.25, 0.5, 0.75, 0.99))
        np.testing.assert_allclose(quantiles, (0.01, 0.25, 0.5, 0.75, 0.99), atol=0.03)
    assert abs(np.corrcoef(lefts, tops)[0, 1]) < 0.2 and lefts.min() < 10 and tops.min() < 10


def test_what_no_crop_fits_is_cut_from_the_middle() -> None:
    assert draw_crop((1000, 10), (0.9, 1.0), (3 / 4, 4 / 3), random.Random(0)) == (493, 0, 506, 10)
    assert draw_crop((10, 1000), (0.9, 1.0), (3 / 4, 4 / 3), random.Random(0)) == (0, 493, 10, 506)


def test_training_images_are_a_function_of_the_random_numbers() -> None:
    transform = ClipTrainTransform(
        16, Augmentation(color_jitter=(0.4, 0.4, 0.4, 0.1), gray_scale_prob=0.2, re_prob=0.5)
    )
    image = drawn(53, 37)
    first, again, other = (transform(image, random.Random(seed)) for seed in (1, 1, 2))
    assert first.equal(again) and not first.equal(other)


def test_without_variation_training_sees_the_whole_image() -> None:
    whole = ClipTrainTransform((37, 53), Augmentation(scale=(1.0, 1.0), ratio=(53 / 37, 53 / 37)))
    pixels = whole(drawn(53, 37), random.Random(0))
    assert pixels.dtype is torch.uint8 and pixels.equal(to_bytes(drawn(53, 37)))


def test_grey_and_jitter_come_as_often_as_told() -> None:
    image, rng = drawn(20, 20), random.Random(0)
    grey = ClipTrainTransform(8, Augmentation(gray_scale_prob=0.2))
    shares = [bool((pixels[0] == pixels[1]).all()) for pixels in (grey(image, rng) for _ in range(600))]
    assert np.mean(shares) == pytest.approx(0.2, abs=0.05)
    still = Augmentation(scale=(1, 1), ratio=(1, 1), color_jitter=(0.8, 0.8, 0.8, 0.5), color_jitter_prob=0.8)
    plain, jitter = to_bytes(image.resize((8, 8), Resampling.BICUBIC)), ClipTrainTransform(8, still)
    changed = [not jitter(image, rng).equal(plain) for _ in range(600)]
    assert np.mean(changed) == pytest.approx(0.8, abs=0.05)


def test_erasing_fills_rectangles_with_normal_noise() -> None:
    still = Augmentation(scale=(1, 1), ratio=(1, 1), re_prob=0.75)
    transform = ClipTrainTransform(64, still)
    plain = normalised(to_bytes(drawn(64, 64))[None], MEAN, STD)[0]
    erased, noise = [], []
    for seed in range(400):
        pixels = transform(drawn(64, 64), random.Random(seed))
        assert pixels.dtype is torch.float32
        gone = (pixels != plain).any(0)
        erased.append(gone.float().mean().item())
        if gone.any():
            rows, columns = gone.any(1).nonzero()[[0, -1], 0], gone.any(0).nonzero()[[0, -1], 0]
            assert gone[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1].all(), "one whole rectangle"
            noise.append(pixels[:, gone])
    areas = np.array([share for share in erased if share])
    assert len(areas) / 400 == pytest.approx(0.75, abs=0.07)
    assert areas.min() > 0.01 and areas.max() < 0.36 and areas.mean() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.02)
    values = torch.cat([part.flatten() for part in noise])
    assert abs(values.mean()) < 0.02 and values.std() == pytest.approx(1, abs=0.02)


def test_normalised_bytes_are_what_torchvision_gives() -> None:
    pixels = to_bytes(drawn(12, 9))
    wanted = (pixels.float() / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    assert normalised(pixels[None], MEAN, STD)[0].equal(wanted)
    assert normalised(wanted[None], MEAN, STD)[0].equal(wanted), "what is scaled stays"


def test_any_mode_of_file_gives_three_channels() -> None:
    for mode in ("1", "L", "P", "RGBA", "CMYK"):
        for transform in (EvaluationTransform(8), lambda image: ClipTrainTransform(8)(image, random.Random(0))):
            assert transform(drawn(20, 13, mode)).shape == (3, 8, 8)
    assert EvaluationTransform(8)(Image.new("I;16", (20, 13))).dtype is torch.uint8
