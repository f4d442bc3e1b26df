"""Datasets by name as by folder: chosen from the repository's listing, by the same rules."""

import json
from pathlib import Path

import pytest

from collotype.families.retriever.benchmarks import find_suite
from collotype.recipe.load import load_evaluation
from collotype.runtime.errors import UserError
from collotype.runtime.hub import commits
from collotype.runtime.shards.names import shard_names
from collotype.runtime.tables import open_table
from collotype.runtime.tables.files import find_table
from tests.families.retriever.benchmarks.parquet_sets import png, write_beir
from tests.hub.conftest import Hub, fetched
from tests.hub.imitation import folder_files, publish

SHAPES = {
    "data/train-00000-of-00002.parquet": b"a",
    "data/train-00001-of-00002.parquet": b"b",
    "data/test-00000-of-00001.parquet": b"c",
    "assets/page.png": b"p" * 1_000_000,
}


@pytest.mark.parametrize(
    ("there", "split", "subset", "found"),
    [
        (list(SHAPES), "train", None, list(SHAPES)[:2]),
        (list(SHAPES), "test", None, list(SHAPES)[2:3]),
        (["data.parquet"], "train", None, ["data.parquet"]),
        (["en/train/0000.parquet", "en/test/0000.parquet"], "test", "en", ["en/test/0000.parquet"]),
        (["en/train-0.parquet", "fr/train-0.parquet"], "train", "fr", ["fr/train-0.parquet"]),
        (
            ["train-0.parquet", "constrained/test-0.parquet", "pretraining/0.parquet"],
            "train",
            None,
            ["train-0.parquet"],
        ),
        (["train.csv", "test.csv", "README.md"], "test", None, ["test.csv"]),
        (["data/train.jsonl", "data/test.jsonl"], "train", None, ["data/train.jsonl"]),
    ],
)
def test_a_table_is_chosen_from_the_listing_as_from_a_folder(
    there, split, subset, found, root: Path, hub: Hub, home: Path, tmp_path: Path
) -> None:
    publish(root, "datasets", "org/set", {name: name.encode() for name in there})
    files = find_table("org/set", split, subset)
    assert [file.read_text() for file in files] == found
    assert len(fetched(hub.requests())) == len([name for name in found if name.endswith(".parquet")])
    for name in there:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(name)
    assert [file.read_text() for file in find_table(str(tmp_path / "set"), split, subset)] == found


def test_a_split_that_is_not_there_is_answered_from_the_listing(root: Path, hub: Hub, home: Path) -> None:
    publish(root, "datasets", "org/set", SHAPES)
    with pytest.raises(UserError, match="org/set has no parquet files for the split 'validation'; it has test, train"):
        find_table("org/set", "validation")
    assert fetched(hub.requests()) == []


def test_images_that_lines_name_come_along(root: Path, hub: Hub, home: Path) -> None:
    rows = [{"query": f"q{n}", "image": f"{n}.png"} for n in range(2)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    publish(root, "datasets", "org/lines", {"train.jsonl": lines, "0.png": b"0", "1.png": b"1", "model.bin": b"x"})
    table = open_table("org/lines")
    assert len(table) == 2 and (table.files[0].parent / "1.png").read_bytes() == b"1"
    assert fetched(hub.requests()) == ["0.png", "1.png"]


def test_a_benchmark_by_name_at_a_revision(root: Path, hub: Hub, home: Path, tmp_path: Path) -> None:
    pages = {number: {"bytes": png(colour)["bytes"], "path": None} for number, colour in enumerate(("red", "green"))}
    folder = write_beir(tmp_path / "old", pages, {0: "red?"}, [(0, 0, 1)])
    commit = publish(root, "datasets", "org/bench", folder_files(folder), branches=("v1",))
    more = write_beir(tmp_path / "new", {**pages, 2: pages[0]}, {0: "red?", 1: "green?"}, [(0, 0, 1), (1, 1, 1)])
    publish(root, "datasets", "org/bench", folder_files(more))
    with commits() as used:
        (found,) = find_suite(load_evaluation("retriever", suite="beir", path="org/bench@v1"))
    assert (found.name, len(found.queries)) == ("beir/bench", 1)
    assert used == {"datasets/org/bench@v1": commit}
    (found,) = find_suite(load_evaluation("retriever", suite="beir:org/bench"))
    assert len(found.queries) == 2


def test_shards_of_the_hub_are_those_of_a_commit(root: Path, hub: Hub, home: Path) -> None:
    commit = publish(root, "datasets", "org/wds", {"a-0.tar": b"0", "a-1.tar": b"1"}, branches=("main", "v1"))
    for revision in ("", "@v1", f"@{commit}"):
        found = shard_names(f"hf://datasets/org/wds{revision}/a-{{0..1}}.tar")
        assert found == [f"hf://datasets/org/wds@{commit}/a-{n}.tar" for n in range(2)]
    with pytest.raises(UserError, match="has no revision v2; it has main, v1"):
        shard_names("hf://datasets/org/wds@v2/a-0.tar")
