"""BEiT-3's training images: RandAugment's operations beside OpenCV's, and how they are drawn.

The golden pixels are what upstream's formulas give with OpenCV 5.0.0 on the image of `drawn`, at magnitude 7, to
either side. Values beyond a byte end there, as in Pillow; upstream's sharpness lets them wrap around.
"""

import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Resampling, Transpose
from safetensors.torch import load_file

from collotype.families.beit3.transforms import FILL, OPERATIONS, Beit3TrainTransform, rand_augmented, squashed
from collotype.runtime.pixels import to_bytes
from tests.families.clip.drawn import drawn

GOLDEN = load_file(Path(__file__).parent / "opencv_randaug.safetensors")
IMAGE = drawn(29, 23)


def beside_outside(image: Image.Image) -> np.ndarray:
    """Pixels at the image's edge or with one of FILL among their neighbours: bool [height, width]."""
    outside = np.pad((np.asarray(image) == FILL).all(-1), 1, constant_values=True)
    height, width = image.height, image.width
    return np.any([outside[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)


@pytest.mark.parametrize("name", list(GOLDEN))
def test_operations_are_upstreams(name: str) -> None:
    level = -0.7 if name.endswith("-") else 0.7
    picture = IMAGE.point(lambda value: value // 2 + 40) if name == "AutoContrast" else IMAGE
    found = OPERATIONS[name.rstrip("+-")](picture, level)
    apart = (to_bytes(found).int() - GOLDEN[name].int()).abs().numpy()
    if name[:5] in ("Shear", "Rotat"):
        inside = ~beside_outside(found)
        assert inside.mean() > 0.4 and apart[:, inside].max() <= 1
    else:
        assert not apart.any()


def test_every_operation_is_beside_upstreams() -> None:
    assert {name.rstrip("+-") for name in GOLDEN} == set(OPERATIONS)


def test_operations_are_drawn_evenly_and_carried_out_half_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    carried_out, rng = [], random.Random(0)

    def note(name: str, image: Image.Image, level: float) -> Image.Image:
        carried_out.append((name, level))
        return image

    for name in OPERATIONS:
        monkeypatch.setitem(OPERATIONS, name, partial(note, name))
    for _ in range(4000):
        rand_augmented(IMAGE, 2, 7, rng)
    assert len(carried_out) == pytest.approx(4000, rel=0.05)
    counts = [sum(name == own for own, _ in carried_out) for name in OPERATIONS]
    assert counts == pytest.approx([400] * 10, rel=0.2)
    assert {level for _, level in carried_out} == {0.7, -0.7}
    assert np.mean([level for _, level in carried_out]) == pytest.approx(0, abs=0.05)


def test_images_are_mirrored_half_of_the_time() -> None:
    still = Beit3TrainTransform(29, scale=(1, 1), ratio=(29 / 23, 29 / 23), operations=0)
    plain = squashed(IMAGE, 29)
    mirrored = squashed(IMAGE.transpose(Transpose.FLIP_LEFT_RIGHT), 29)
    shares = []
    for seed in range(400):
        pixels = still(IMAGE, random.Random(seed))
        assert pixels.equal(plain) or (pixels.int() - mirrored.int()).abs().max() <= 1
        shares.append(not pixels.equal(plain))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.1)
    never = Beit3TrainTransform(29, scale=(1, 1), ratio=(29 / 23, 29 / 23), flip_prob=0, operations=0)
    assert all(never(IMAGE, random.Random(seed)).equal(plain) for seed in range(20))


def test_training_images_are_a_function_of_the_random_numbers() -> None:
    transform = Beit3TrainTransform(16)
    images = [transform(IMAGE, random.Random(seed)) for seed in (1, 1, 2)]
    assert images[0].equal(images[1]) and not images[0].equal(images[2])
    assert all(transform(drawn(20, 13, mode), random.Random(0)).shape == (3, 16, 16) for mode in ("L", "P", "RGBA"))


def test_evaluation_squashes_the_whole_image() -> None:
    assert squashed(IMAGE, 16).equal(to_bytes(IMAGE.resize((16, 16), Resampling.BICUBIC)))
