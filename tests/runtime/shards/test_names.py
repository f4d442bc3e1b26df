"""Patterns to shards."""

from pathlib import Path

import pytest

from collotype.runtime.errors import UserError
from collotype.runtime.shards.names import expand, shard_names
from tests.runtime.shards.made_shards import write_shard


@pytest.mark.parametrize(
    "pattern, names",
    [
        ("a.tar", ["a.tar"]),
        ("a{0..2}.tar", ["a0.tar", "a1.tar", "a2.tar"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{a,b{0..1}}-{x,y}", ["a-x", "a-y", "b0-x", "b0-y", "b1-x", "b1-y"]),
        ("run{1}/a{b.tar", ["run{1}/a{b.tar"]),
        ("s3://bucket/t-{0000..0001}.tar", ["s3://bucket/t-0000.tar", "s3://bucket/t-0001.tar"]),
    ],
)
def test_braces_are_expanded(pattern: str, names: list[str]) -> None:
    assert expand(pattern) == names


def test_sources_are_patterns_folders_lists_and_all_of_these_joined(tmp_path: Path) -> None:
    paths = [str(write_shard(tmp_path / folder / f"{n:02d}.tar", 0, 1)) for folder in "ab" for n in range(3)]
    (tmp_path / "a" / "notes.txt").touch()
    assert shard_names(f"{tmp_path}/a/{{00..02}}.tar::{tmp_path}/b") == paths
    assert shard_names([f"{tmp_path}/a/*.tar", paths[5]]) == [*paths[:3], paths[5]]
    assert shard_names(f"{tmp_path}/**/0[12].tar") == [paths[1], paths[2], paths[4], paths[5]]


def test_packaged_shards_have_a_name() -> None:
    assert [Path(name).name for name in shard_names("collotype:pictures/{google,twitter}.tar")] == [
        "google.tar",
        "twitter.tar",
    ]


def test_what_is_missing_or_named_twice_is_told(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "00.tar", 0, 1)
    with pytest.raises(UserError, match=r"5 of 6 shards are missing: .*01\.tar, .*02\.tar, .*03\.tar and 2 more"):
        shard_names(f"{tmp_path}/{{00..05}}.tar")
    with pytest.raises(UserError, match="more than once"):
        shard_names([str(path), f"{tmp_path}/*.tar"])
    with pytest.raises(UserError, match="matches no shard"):
        shard_names(f"{tmp_path}/*.tar.gz")
    with pytest.raises(UserError, match="is a command"):
        shard_names("pipe:cat a.tar")
