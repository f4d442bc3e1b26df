"""Samples at random out of shards, whatever is wrong with some of them."""

import json
import os
import pickle
import random
import tarfile
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import pytest

from collotype.runtime.errors import UserError
from collotype.runtime.shards import index as index_module
from collotype.runtime.shards import reader as reader_module
from collotype.runtime.shards.reader import Shards
from collotype.runtime.shards.samples import ENTRY, Fault, SampleLayout, counts
from tests.runtime.shards.made_shards import sample, write_shard, write_tar


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards of 10 samples, numbered through."""
    for shard in range(3):
        write_shard(tmp_path / "shards" / f"{shard:02d}.tar", 10 * shard, 10)
    return tmp_path / "shards"


def test_every_row_is_its_sample_in_any_order(folder: Path) -> None:
    shards = Shards(str(folder))
    assert len(shards) == 30 and not shards.faults
    for row in random.Random(0).sample(range(30), 30):
        assert shards.read(row) == (b"image %d" % row, (f"caption {row}",))
        assert shards.texts(row) == (f"caption {row}",)
        assert shards.place(row) == str(folder / f"{row // 10:02d}.tar")
    assert shards.regions == [range(0, 10), range(10, 20), range(20, 30)]


def test_an_index_is_made_once_and_again_when_a_shard_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, made = Shards(str(folder)), []
    monkeypatch.setattr(index_module, "index_shard", lambda path, *_: made.append(path.name) or original(path, *_))
    assert Shards(str(folder)).digest == first.digest and made == []
    write_shard(folder / "01.tar", 10, 9)
    again = Shards(str(folder))
    assert made == ["01.tar"] and len(again) == 29 and again.digest != first.digest
    Shards(str(folder), SampleLayout(text="jpg"))
    assert len(made) == 4, "another layout is another index"


original = index_module.index_shard


def test_a_damaged_index_is_made_again(folder: Path, tmp_path: Path) -> None:
    first = Shards(str(folder))
    for kept in (tmp_path / "cache" / "shard-index").glob("*.safetensors"):
        kept.write_bytes(kept.read_bytes()[:-3])
    assert Shards(str(folder)).digest == first.digest


def test_processes_index_together_and_tell_how_far_they_are(tmp_path: Path) -> None:
    for shard in range(7):
        write_shard(tmp_path / "many" / f"{shard}.tar", shard, 1)
    told = []
    shards = Shards(str(tmp_path / "many"), progress=lambda *far: told.append(far), processes=3)
    assert [shards.read(row)[0] for row in range(7)] == [b"image %d" % n for n in range(7)]
    assert told == [(n, 7) for n in range(1, 8)]


def test_a_sample_costs_seventeen_bytes(folder: Path) -> None:
    assert ENTRY.itemsize == 17 and Shards(str(folder)).entries.nbytes == 30 * 17


def test_shards_travel_to_other_processes(folder: Path) -> None:
    assert pickle.loads(pickle.dumps(Shards(str(folder)))).read(17)[0] == b"image 17"  # noqa: S301


def test_faults_are_counted_by_cause_and_shard(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "faulty.tar",
        [
            *sample("good"),
            *sample("no caption", caption=None),
            *sample("empty", caption=" \n"),
            *sample("no image", image=None),
            ("latin.jpg", b"x"),
            ("latin.txt", b"caf\xe9"),
            ("two.png", b"png"),
            *sample("two"),
            ("README", b"no sample"),
            *sample("folder.with.dots/good"),
        ],
    )
    shards = Shards(str(path))
    assert [shards.read(row)[0] for row in range(len(shards))] == [b"picture", b"picture", b"picture"]
    causes = ("no caption", "empty caption", "no image", "caption is no text", "several images")
    assert sorted(shards.faults) == sorted(Fault(cause, str(path), 1) for cause in causes)
    assert counts([*shards.faults, *shards.faults])["no caption"] == 2


def test_of_several_images_the_layouts_first_is_taken(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "two.tar", [("a.PNG", b"png"), ("a.jpg", b"jpg"), ("a.txt", b"text")])
    assert Shards(str(path)).read(0)[0] == b"jpg"
    assert Shards(str(path), SampleLayout(("png", "jpg"))).read(0)[0] == b"png"


def test_a_key_that_comes_again_is_another_sample(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "twice.tar", [*sample("a", b"1", "one"), *sample("a", b"2", "two")])
    assert [Shards(str(path)).read(row) for row in range(2)] == [(b"1", ("one",)), (b"2", ("two",))]


def test_captions_may_stand_in_json(tmp_path: Path) -> None:
    cells = [{"title": "one"}, {"title": ["two", "deux", " "]}, {"other": 1}, {"title": None}, {"title": 3}, ["list"]]
    files = []
    for number, cell in enumerate(cells):
        files += [(f"{number}.jpg", b"x"), (f"{number}.json", json.dumps(cell).encode())]
    path = write_tar(tmp_path / "json.tar", files)
    shards = Shards(str(path), SampleLayout(text="json:title"))
    assert [shards.texts(row) for row in range(len(shards))] == [("one",), ("two", "deux"), ("list",)]
    assert counts(shards.faults) == {"empty caption": 2, "caption is no text": 1}


def test_image_and_text_may_be_far_apart(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "far.tar", [("a.txt", b"caption"), ("a.npy", bytes(200_000)), ("a.jpg", b"picture")])
    assert Shards(str(path)).read(0) == (b"picture", ("caption",))


def test_a_shard_cut_off_gives_the_samples_before_the_cut(folder: Path) -> None:
    path = folder / "01.tar"
    with tarfile.open(path) as tar:
        cut = tar.getmember("00015.txt").offset
    os.truncate(path, cut)
    shards = Shards(str(folder))
    assert len(shards) == 25 and shards.read(14)[0] == b"image 14" and shards.read(15)[0] == b"image 20"
    assert counts(shards.faults) == {"shard is cut off or damaged": 1, "no caption": 1}
    assert {fault.place for fault in shards.faults} == {str(path)}


def test_shards_without_samples_or_captions_are_refused(tmp_path: Path) -> None:
    empty, zipped, bare = (tmp_path / name for name in ("empty.tar", "zipped.tar", "bare.tar"))
    empty.write_bytes(b"")
    with tarfile.open(zipped, "w:gz") as tar:
        tar.add(__file__)
    write_tar(bare, [("a.jpg", b"x"), ("a.cls", b"1"), ("b.jpg", b"x")])
    for path, message in (
        (empty, "empty.tar contains no complete sample; download it again"),
        (zipped, "zipped.tar is compressed"),
        (
            bare,
            r"None of the 2 samples of the shard .*bare.tar can be used: they have cls, jpg, and images are read "
            r"from jpg, png, jpeg, webp, captions from txt; name the suffixes \(caption: SUFFIX\)",
        ),
    ):
        with pytest.raises(UserError, match=message):
            Shards(str(path))
    faulty = write_tar(tmp_path / "faulty.tar", [*sample("a", caption=" "), *sample("b", caption=None)])
    with pytest.raises(UserError, match=r"faulty\.tar can be used \(empty caption in 1, no caption in 1\); correct"):
        Shards(str(faulty))


def pairs(image: str, text: str, caption: bytes = b"a cat") -> list[tuple[str, bytes]]:
    return [(f"{key}.{suffix}", content) for key in "abc" for suffix, content in ((image, b"x"), (text, caption))]


@pytest.mark.parametrize(
    ("files", "layout", "words"),
    [
        (pairs("bmp", "txt"), {}, "they have bmp, txt, and .* captions from txt; name the suffixes (picture: bmp)"),
        (pairs("jpg", "json", b'{"url": "u", "title": "a cat"}'), {}, "(caption: json:url|title)"),
        (pairs("input.jpg", "outputs.txt"), {}, "(picture: input.jpg, caption: outputs.txt)"),
        (pairs("input.jpg", "outputs.txt"), {"text": "outputs.txt"}, "(picture: input.jpg)"),
        (pairs("jpeg.jpg", "txt"), {}, "(picture: jpeg.jpg)"),
        (pairs("jpg", "txt"), {"image": "png;webp"}, "images are read from png, webp, .*(picture: jpg)"),
        (pairs("npy", "txt"), {}, "(picture: SUFFIX)"),
        (
            sorted(pairs("jpg", "txt"), key=lambda file: file[0][2:]),
            {},
            "3 samples of .* not next to each other; .*tar --sort=name",
        ),
    ],
)
def test_a_shard_of_another_layout_is_told_with_what_to_name(
    files: list[tuple[str, bytes]], layout: dict[str, str], words: str, tmp_path: Path
) -> None:
    path = write_tar(tmp_path / "other.tar", files)
    with pytest.raises(UserError) as told:
        Shards(str(path), SampleLayout.of(**layout))
    assert all(part in str(told.value) for part in words.split(".*")) and "{" not in str(told.value)


@pytest.mark.parametrize(
    ("image", "text", "key"),
    [("input.jpg", "outputs.txt", "input.jpg"), ("BMP", "TXT", ".bmp"), ("jpeg.jpg", "Txt", "jpg;jpeg.jpg")],
)
def test_suffixes_are_read_where_they_are_named(image: str, text: str, key: str, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "other.tar", pairs(image, text))
    shards = Shards(str(path), SampleLayout.of(key, text))
    assert [shards.read(row) for row in range(3)] == [(b"x", ("a cat",))] * 3 and not shards.faults


def test_a_sample_that_stands_apart_is_one_fault(tmp_path: Path) -> None:
    files = [*sample("whole"), ("a.jpg", b"x"), ("b.jpg", b"x"), ("a.txt", b"a"), ("c.txt", b"c")]
    shards = Shards(str(write_tar(tmp_path / "mixed.tar", files)))
    assert len(shards) == 1
    assert counts(shards.faults) == {"files of a sample are no neighbours": 1, "no caption": 1, "no image": 1}


def test_a_shard_whose_samples_all_have_faults_has_no_region(folder: Path) -> None:
    write_tar(folder / "01.tar", [*sample("a", caption=" "), *sample("b", caption=None)])
    shards = Shards(str(folder))
    assert shards.regions == [range(0, 10), range(10, 20)] and shards.read(10)[0] == b"image 20"


def test_sizes_json_is_held_against_the_shards(folder: Path) -> None:
    (folder / "sizes.json").write_text(json.dumps({"00.tar": 10, "01.tar": 14}))
    shards = Shards(str(folder))
    (missing,) = shards.faults
    assert missing == Fault("samples listed in sizes.json are missing", str(folder / "01.tar"), 4)
    assert missing.left_out == 4
    (folder / "sizes.json").write_text(json.dumps({"00.tar": 8}))
    (surplus,) = Shards(str(folder)).faults
    assert surplus == Fault("more samples than sizes.json lists", str(folder / "00.tar"), 2)
    assert surplus.left_out == 0
    (folder / "sizes.json").write_text("[")
    with pytest.raises(UserError, match=r"sizes\.json is not a JSON object"):
        Shards(str(folder))


def test_a_shard_that_changes_in_use_is_told(folder: Path) -> None:
    shards = Shards(str(folder))
    write_shard(folder / "02.tar", 7, 12)
    with pytest.raises(UserError, match=r"02\.tar has changed"):
        shards.read(25)


def test_the_packaged_images_are_samples() -> None:
    shards = Shards("collotype:pictures/twitter.tar")
    assert len(shards) == 1906
    image, texts = shards.read(0)
    assert image.startswith(b"\x89PNG") and texts == ("hash key",)


def test_threads_may_read_more_shards_than_stay_open(tmp_path: Path) -> None:
    """A file must not be closed, and its number given to another, between being looked up and being read."""
    for shard in range(12):
        write_shard(tmp_path / "many" / f"{shard:02d}.tar", 10 * shard, 10)
    shards, before = Shards(str(tmp_path / "many")), reader_module.opened
    reader_module.opened = lru_cache(maxsize=2)(before.__wrapped__)
    try:
        with ThreadPoolExecutor(8) as pool:
            rows = [place * 37 % 120 for place in range(3000)]
            found = list(pool.map(lambda row: shards.read(row)[0], rows))
    finally:
        reader_module.opened = before
    assert found == [f"image {row}".encode() for row in rows]
