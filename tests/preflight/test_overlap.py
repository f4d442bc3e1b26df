"""What is measured must not be what is trained on, whatever it is called and wherever it lies."""

import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from collotype import runner
from collotype.families.clip.recipe import CaptionTableSource, ClipEvaluate, ShardSource
from collotype.families.retriever.recipe import PairSource, RetrieverEvaluate
from collotype.preflight.data_locations import measured_and_trained
from collotype.recipe.data import TrainSourceSection
from collotype.training.overlap import Samples, overlap
from tests.conftest import SMALL

NAME = "evaluated on what it trains on"


def picture(number: int, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (32, 32), (number * 7 % 256, number * 31 % 256, 80)).save(content, kind)
    return content.getvalue()


def shard(path: Path, numbers: range) -> Path:
    with tarfile.open(path, "w") as tar:
        for number in numbers:
            for suffix, content in (("png", picture(number)), ("txt", f"thing {number}".encode())):
                member = tarfile.TarInfo(f"{number:04}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def table(path: Path, numbers: range, **columns: str) -> Path:
    rows = [{"filepath": f"{n}.png", "title": f"thing {n}"} for n in numbers]
    path.write_text("filepath\ttitle\n" + "".join(f"{row['filepath']}\t{row['title']}\n" for row in rows))
    for number in numbers:
        (path.parent / f"{number}.png").write_bytes(picture(number))
    return path


def pages(path: Path, numbers: range) -> Path:
    path.parent.mkdir(exist_ok=True)
    image = [{"bytes": picture(number), "path": None} for number in numbers]
    query = [f"Thing  {number}?" for number in numbers]
    pq.write_table(pa.table({"query": query, "image": image, "image_filename": list(map(str, numbers))}), path)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, numbers in (("a", range(8)), ("b", range(8, 16)), ("c", range(16, 24))):
        shard(tmp_path / f"{name}.tar", numbers)
        table(tmp_path / f"{name}.csv", numbers)
    shutil.copy("a.tar", "copy-of-a.tar")
    os.symlink("a.tar", "link-to-a.tar")
    (tmp_path / "sets").mkdir()
    shutil.copy("a.tar", "sets/0000.tar")
    pages(tmp_path / "own" / "all.parquet", range(6))
    pages(tmp_path / "split" / "train-00000-of-00001.parquet", range(6))
    pages(tmp_path / "split" / "test-00000-of-00001.parquet", range(6, 12))
    return tmp_path


def shards(path: str) -> TrainSourceSection:
    return ShardSource(source="shards", path=path)


def captions(path: str, split: str | None = None) -> ClipEvaluate:
    return ClipEvaluate(suite="captions", path=path, split=split)


@pytest.mark.parametrize(
    ("trained", "measured", "found"),
    [
        (["a.tar"], "a.tar", ["a.tar"]),
        (["a.tar"], "./a.tar", ["./a.tar"]),
        (["a.tar"], "{here}/a.tar", ["{here}/a.tar"]),
        (["a.tar"], "link-to-a.tar", ["link-to-a.tar"]),
        (["a.tar"], "copy-of-a.tar", ["copy-of-a.tar"]),
        (["{a,b}.tar"], "b.tar::c.tar", ["b.tar"]),
        (["a.tar::b.tar"], "*.tar", ["a.tar", "b.tar", "copy-of-a.tar"]),
        (["b.tar", "sets"], "a.tar", ["a.tar"]),
        (["a.tar"], "sets", ["sets/0000.tar"]),
        (["gone-{0000..0099}.tar"], "sub/../gone-0007.tar", ["sub/../gone-0007.tar"]),
        (["s3://bucket/{0..3}.tar"], "s3://bucket/2.tar", ["s3://bucket/2.tar"]),
        (["a.tar"], "b.tar", []),
        (["gone-{0000..0099}.tar"], "gone-0100.tar", []),
    ],
)
def test_shards_are_known_by_where_they_lead(here: Path, trained: list[str], measured: str, found: list[str]) -> None:
    at = {"here": str(here)}
    place = measured.replace("{here}", at["here"])
    assert measured_and_trained([*map(shards, trained)], captions(place)) == [one.format(**at) for one in found]


@pytest.mark.parametrize("split", [None, "train", "validation", "holdout"])
@pytest.mark.parametrize("path", ["a.csv", "./a.csv", "sub/../a.csv"])
def test_a_single_table_has_no_splits(here: Path, path: str, split: str | None) -> None:
    (here / "sub").mkdir()
    source = CaptionTableSource(source="captions", path="a.csv")
    assert measured_and_trained([source], captions(path, split)) == [str(Path(path))]
    assert measured_and_trained([source], captions("b.csv", split)) == []


def test_a_folder_whose_files_are_named_by_split_has_several(here: Path) -> None:
    pairs = PairSource(source="pairs", path="split")
    assert measured_and_trained([pairs], RetrieverEvaluate(suite="qa", path="split")) == []
    (own,) = measured_and_trained([pairs], RetrieverEvaluate(suite="qa", path="split", split="train"))
    assert own == "split/train-00000-of-00001.parquet"
    unsplit = PairSource(source="pairs", path="own")
    assert measured_and_trained([unsplit], RetrieverEvaluate(suite="qa", path="./own")) == ["own/all.parquet"]


def test_names_of_the_hub_are_one_place_by_split() -> None:
    pairs = PairSource(source="pairs", path="vidore/colpali_train_set")
    asked = {"suite": "qa", "path": "vidore/colpali_train_set"}
    assert measured_and_trained([pairs], RetrieverEvaluate(**asked)) == []
    assert measured_and_trained([pairs], RetrieverEvaluate(**asked, split="train"))


def found_by_check(overrides: dict) -> list[str]:
    plan = runner.check("desk-clip", {**SMALL, "expect": [], **overrides}, card="A100")[1]
    assert not any(name.startswith(("data", "evaluate")) for name in plan["unknown"])
    return [one["seen"] for one in plan["findings"] if one["name"] == NAME]


def test_samples_are_compared_where_files_are_not_the_same(here: Path) -> None:
    """The same images and captions, once in shards and once in a table, in part."""
    trained = {"data.train": {"source": "shards", "path": "{a,b}.tar"}, "train.batch": 8, "train.steps": 2}
    table(here / "mixed.csv", range(12, 20))
    found = found_by_check({**trained, "evaluate": [{"suite": "captions", "path": "mixed.csv"}]})
    assert found == ["4 of 8 samples of captions/mixed looked at are trained on, text and image"]
    assert found_by_check({**trained, "evaluate": [{"suite": "captions", "path": "c.csv"}]}) == []
    told = found_by_check({**trained, "evaluate": [{"suite": "captions", "path": "a.tar"}]})
    assert told == ["a.tar is trained on and measured"], "the files say it, so the samples need not"


def test_the_same_caption_of_another_image_is_no_overlap(here: Path) -> None:
    (here / "other.csv").write_text("filepath\ttitle\n17.png\tthing 1\n18.png\tthing 2\n")
    trained = {"data.train": {"source": "shards", "path": "a.tar"}, "train.batch": 8, "train.steps": 1}
    assert found_by_check({**trained, "evaluate": [{"suite": "captions", "path": "other.csv"}]}) == []


def test_queries_and_pages_of_a_retriever_across_layouts(here: Path) -> None:
    rows = [{"query": f"thing {n}?", "image": f"{n}.png"} for n in range(4, 12)]
    (here / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = {
        "data.train": {"source": "pairs", "path": "pairs.jsonl"},
        "train.batch": 4,
        "train.steps": 2,
        "expect": [],
        "evaluate": [{"suite": "qa", "path": "own"}],
    }
    plan = runner.check("desk-colpali", {**SMALL, **changes}, card="A100")[1]
    (found,) = (one for one in plan["findings"] if one["name"] == NAME)
    assert found["seen"].startswith("2 of 6 samples of qa/own") and found["severity"] == "will differ"


def test_a_sample_of_a_large_set_finds_what_is_shared() -> None:
    def made(first: int, rows: int) -> Samples:
        image = lambda row: [Image.new("RGB", (2, 2), (row % 256, row // 256 % 256, row // 65536))]  # noqa: E731
        return Samples(rows, lambda row: f"Text {first + row}", lambda row: image(first + row))

    assert overlap([made(0, 50_000)], made(0, 3000))["shared"] > 200
    assert overlap([made(0, 50_000)], made(50_000, 3000)) == {"looked_at": 1500, "shared": 0}
