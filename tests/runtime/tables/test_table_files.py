"""Which files make a table, in the layouts of the hub."""

from pathlib import Path

import pytest

from collotype.runtime.errors import UserError
from collotype.runtime.tables.files import find_table, find_tables


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(folder: Path, files: list[Path]) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in files]


HUB = ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet")


@pytest.mark.parametrize(
    ("there", "split", "found"),
    [
        (HUB, "train", list(HUB[:2])),
        (HUB, "test", list(HUB[2:])),
        (("train/0000.parquet", "train/0001.parquet"), "train", ["train/0000.parquet", "train/0001.parquet"]),
        (("a.parquet", "b.parquet"), "train", ["a.parquet", "b.parquet"]),
        (("small-0000.parquet", "large-0000.parquet"), "small", ["small-0000.parquet"]),
        (("dev_2024-0.parquet", "train-0.parquet"), "dev_2024", ["dev_2024-0.parquet"]),
        (("pairs.jsonl", "train.parquet"), "train", ["pairs.jsonl"]),
        (("captions.csv", "p.png"), "train", ["captions.csv"]),
    ],
)
def test_a_table_is_its_split_or_all_there_is(there: tuple, split: str, found: list[str], tmp_path: Path) -> None:
    assert names(tmp_path, find_table(str(touch(tmp_path, *there)), split)) == found


def test_a_subset_is_a_folder_to_stay_in(tmp_path: Path) -> None:
    touch(tmp_path, "en/train-0.parquet", "fr/train-0.parquet")
    assert names(tmp_path, find_table(str(tmp_path), "train", "fr")) == ["fr/train-0.parquet"]
    assert names(tmp_path, find_table(str(tmp_path), "train")) == ["en/train-0.parquet", "fr/train-0.parquet"]


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ((), "contains no .parquet and no pairs.jsonl; set"),
        (("x.arrow",), "its .arrow files were written by `save_to_disk`"),
        (("test-0.parquet", "val-0.parquet"), "no parquet files for the split 'train'; it has test, val"),
        (("test-0.parquet", "other.parquet"), "it has of no split, test"),
        (("a.jsonl", "b.jsonl"), "contains 2 .jsonl files; set `path` to one of them"),
        (("a.jsonl", "b.csv"), "contains 2 .csv and .jsonl files; set `path` to one of them"),
    ],
)
def test_a_folder_without_the_table_says_what_it_has(there: tuple, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        find_table(str(touch(tmp_path, *there)), "train")


def test_a_path_that_is_no_table_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "t.xls")
    with pytest.raises(UserError, match=r"t.xls is not a .parquet, .jsonl, .csv, .tsv"):
        find_table(str(tmp_path / "t.xls"))
    with pytest.raises(UserError, match=r"There is no table no/such.tsv"):
        find_table("no/such.tsv")


def test_configurations_are_told_apart_in_both_layouts(tmp_path: Path) -> None:
    touch(tmp_path, "corpus/test-00000-of-00001.parquet", "queries/test/0000.parquet", "qrels/dev/0000.parquet")
    found = find_tables(tmp_path, "test")
    assert {name: names(tmp_path, files) for name, files in found.items()} == {
        "corpus": ["corpus/test-00000-of-00001.parquet"],
        "qrels": ["qrels/dev/0000.parquet"],
        "queries": ["queries/test/0000.parquet"],
    }
    touch(tmp_path / "plain", "data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet")
    assert list(find_tables(tmp_path / "plain", "test")) == ["default"]
    with pytest.raises(UserError, match="default has no split 'dev'; name one of test, train"):
        find_tables(tmp_path / "plain", "dev")
    file = tmp_path / "plain" / "data" / "test-00000-of-00001.parquet"
    assert find_tables(file, "dev") == {"default": [file]}
