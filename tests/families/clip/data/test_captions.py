"""Examples from shards: pixels and a caption, a function of (row, epoch), and images that cannot be read."""

import io
import pickle
import random
from pathlib import Path

import pytest
import torch
from PIL import Image

from collotype.families.clip.data.captions import CaptionDataset, decode
from collotype.families.clip.transforms import Augmentation, ClipTrainTransform, EvaluationTransform, to_bytes
from collotype.runtime.shards.reader import Shards
from collotype.runtime.shards.samples import SampleLayout
from collotype.training.bad_examples import BadExampleError
from tests.families.clip.drawn import drawn, encoded
from tests.runtime.shards.made_shards import sample, write_tar

TRANSFORM = ClipTrainTransform(16, Augmentation(scale=(0.3, 1.0)))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLOTYPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    """Five good images, of which the last has three captions, one that is cut off, and one that is none."""
    files = []
    for number in range(5):
        caption = b'{"title": "Caption %d"}' % number
        files += [(f"{number}.jpg", encoded(drawn(40 + number, 30))), (f"{number}.json", caption)]
    files[-1] = ("4.json", b'{"title": ["one", "two", "three"]}')
    files += [("5.jpg", encoded(drawn(40, 30))[:200]), ("5.json", b'{"title": "cut"}')]
    files += [("6.jpg", b"no image"), ("6.json", b'{"title": "none"}')]
    return Shards(str(write_tar(tmp_path / "00.tar", files)), SampleLayout(text="json:title"))


def test_examples_are_a_function_of_row_and_epoch(shards: Shards) -> None:
    dataset = CaptionDataset(shards, TRANSFORM, seed=7)
    example, again = (dataset.example(2, 1) for _ in range(2))
    assert example.caption == again.caption == "Caption 2"
    assert example.pixels.shape == (3, 16, 16) and example.pixels.equal(again.pixels)
    others = [dataset.example(3, 1), dataset.example(2, 2), CaptionDataset(shards, TRANSFORM, seed=8).example(2, 1)]
    assert not any(example.pixels.equal(other.pixels) for other in others)
    assert pickle.loads(pickle.dumps(dataset)).example(2, 1).pixels.equal(example.pixels)  # noqa: S301


def test_epochs_take_turns_among_captions(shards: Shards) -> None:
    dataset = CaptionDataset(shards, TRANSFORM, seed=0)
    captions = [dataset.example(4, epoch).caption for epoch in range(6)]
    assert set(captions[:3]) == {"one", "two", "three"} and captions[3:] == captions[:3]


def test_evaluation_sees_the_image_as_it_is(shards: Shards) -> None:
    transform = EvaluationTransform(16)
    content, _ = shards.read(1)
    example = CaptionDataset(shards, transform, seed=0).example(1, 0)
    assert example.pixels.equal(transform(Image.open(io.BytesIO(content))))


@pytest.mark.parametrize("row", [5, 6])
def test_a_image_that_cannot_be_decoded_says_where_it_is(shards: Shards, row: int) -> None:
    with pytest.raises(BadExampleError) as caught:
        CaptionDataset(shards, TRANSFORM, seed=0).example(row, 0)
    assert (caught.value.cause, caught.value.place) == ("image cannot be decoded", shards.shards[0].name)


def test_a_image_with_too_many_pixels_is_not_decoded(shards: Shards) -> None:
    with pytest.raises(BadExampleError, match="40 x 30 pixels") as caught:
        CaptionDataset(shards, TRANSFORM, seed=0, max_pixels=1199).example(0, 0)
    assert caught.value.cause == "too many pixels"
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    with pytest.raises(BadExampleError) as caught:
        decode(bomb.getvalue(), "here", max_pixels=2**40)
    assert (caught.value.cause, caught.value.place) == ("too many pixels", "here")


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1"])
def test_images_are_decoded_as_webdataset_does(mode: str) -> None:
    form = "TIFF" if mode == "CMYK" else "PNG"
    content = encoded(drawn(20, 13, mode), form)
    assert torch.equal(to_bytes(decode(content, "")), to_bytes(Image.open(io.BytesIO(content)).convert("RGB")))


def test_identities_are_the_image_and_what_a_tokenizer_makes_of_captions(tmp_path: Path) -> None:
    files = [file for n, text in enumerate(("A  Cat", "a cat", "a dog")) for file in sample(str(n), b"x", text)]
    dataset = CaptionDataset(Shards(str(write_tar(tmp_path / "a.tar", files))), TRANSFORM, seed=0)
    first, second, third = (set(dataset.identities(row)) for row in range(3))
    assert first & second == {"a cat"} and not first & third


def test_fingerprints_follow_data_and_settings(shards: Shards, tmp_path: Path) -> None:
    first = CaptionDataset(shards, TRANSFORM, 0).fingerprint()
    copy = tmp_path / "elsewhere" / "01.tar"
    copy.parent.mkdir()
    copy.write_bytes((tmp_path / "00.tar").read_bytes())
    assert CaptionDataset(Shards(str(copy), SampleLayout(text="json:title")), TRANSFORM, 0).fingerprint() == first
    others = [CaptionDataset(shards, TRANSFORM, 1), CaptionDataset(shards, ClipTrainTransform(16), 0)]
    copy.write_bytes(copy.read_bytes().replace(b"Caption 3", b"Captain 3"))
    others.append(CaptionDataset(Shards(str(copy), SampleLayout(text="json:title")), TRANSFORM, 0))
    assert first not in {other.fingerprint() for other in others}


def test_every_row_of_a_shard_is_in_its_region(shards: Shards) -> None:
    dataset = CaptionDataset(shards, TRANSFORM, 0)
    assert [row for region in dataset.regions for row in region] == list(range(len(dataset)))
    assert not dataset.faults
    rng = random.Random(0)
    assert {dataset.source.place(rng.randrange(7)) for _ in range(5)} == {shards.names[0]}
