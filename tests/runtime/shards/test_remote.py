"""Shards behind fsspec's addresses: fetched once, shared by processes, within a limit."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from collotype.runtime.errors import UserError
from collotype.runtime.shards import remote
from collotype.runtime.shards.names import shard_names
from collotype.runtime.shards.reader import Shards, opened
from collotype.runtime.shards.remote import FetchedShards, tell
from tests.runtime.shards.made_shards import write_shard


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[fsspec.AbstractFileSystem]:
    """Four shards of 5 samples at `memory://bucket/N.tar`."""
    system = fsspec.filesystem("memory")
    for shard in range(4):
        system.pipe(f"/bucket/{shard}.tar", write_shard(tmp_path / "made.tar", 5 * shard, 5).read_bytes())
    yield system
    system.rm("/bucket", recursive=True)
    opened.cache_clear()


PLAIN = remote.file_system


class Counted:
    """How often a file system was asked for a file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failures: int = 0):
        self.fetched, self.failures, self.plain = [], failures, PLAIN
        monkeypatch.setattr(remote, "file_system", lambda address: (self, address))
        monkeypatch.setattr(remote, "WAIT_S", 0.0)

    def info(self, address: str) -> dict:
        system, path = self.plain(address)
        return system.info(path)

    def get_file(self, address: str, target: str) -> None:
        self.fetched.append(address)
        if len(self.fetched) <= self.failures:
            raise ConnectionError("the line is down")
        system, path = self.plain(address)
        system.get_file(path, target)


def test_rows_are_read_from_the_copies(memory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counted = Counted(monkeypatch)
    for _ in range(2):
        shards = Shards("memory://bucket/{0..3}.tar")
        assert [shards.read(row)[0] for row in (19, 0, 7)] == [b"image 19", b"image 0", b"image 7"]
        assert shards.place(7) == "memory://bucket/1.tar"
    assert len(counted.fetched) == 4, "each once"


def test_patterns_and_folders_are_looked_up_there(memory) -> None:
    wanted = [f"memory://bucket/{n}.tar" for n in range(4)]
    found = shard_names("memory://bucket/*.tar")
    assert [name.replace(":///", "://") for name in found] == wanted
    assert shard_names("memory://bucket/") == found
    assert Shards(found[1]).read(0)[0] == b"image 5"


def test_a_shard_that_changed_there_is_fetched_again(memory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = Shards("memory://bucket/0.tar")
    memory.pipe("/bucket/0.tar", write_shard(tmp_path / "made.tar", 50, 5).read_bytes())
    again = Shards("memory://bucket/0.tar")
    assert (first.read(0)[0], again.read(0)[0]) == (b"image 0", b"image 50")


def test_the_least_recently_used_copies_make_room(memory, tmp_path: Path) -> None:
    addresses = [f"memory://bucket/{n}.tar" for n in range(4)]
    size = tell(addresses[0]).size
    fetched = FetchedShards(tmp_path / "copies", limit_gb=3.5 * size / 1e9)
    copies = [fetched.local(address, tell(address)) for address in addresses[:3]]
    for age, copy in enumerate((1, 3, 2)):
        os.utime(copies[copy - 1], (time.time() - 100 * age, time.time() - 100 * age))
    fetched.local(addresses[1], tell(addresses[1]))
    newest = fetched.local(addresses[3], tell(addresses[3]))
    assert newest.is_file() and [copy.is_file() for copy in copies] == [True, True, False]
    assert sum(copy.stat().st_size for copy in (tmp_path / "copies").glob("*.tar")) <= fetched.limit


def test_more_shards_than_room_can_still_be_read(memory, tmp_path: Path) -> None:
    fetched = FetchedShards(tmp_path / "copies", limit_gb=1.5 * tell("memory://bucket/0.tar").size / 1e9)
    shards = Shards("memory://bucket/{0..3}.tar", fetched=fetched)
    for row in (0, 19, 6, 1, 11):
        assert shards.read(row)[0] == b"image %d" % row
    assert len(list((tmp_path / "copies").glob("*.tar"))) == 1
    shards.require_room(1)
    for window in (2, None):
        with pytest.raises(UserError, match=r"mix fewer with data\.shuffle_window"):
            shards.require_room(window)
    with pytest.raises(UserError, match="raise COLLOTYPE_SHARDS_GB"):
        FetchedShards(tmp_path, limit_gb=1e-9).local("memory://bucket/0.tar", tell("memory://bucket/0.tar"))


def test_what_a_kill_left_is_swept(memory, tmp_path: Path) -> None:
    fetched = FetchedShards(tmp_path / "copies")
    fetched.folder.mkdir()
    old, new = fetched.folder / ".a.tar.x.partial", fetched.folder / ".b.tar.y.partial"
    for part in (old, new):
        part.touch()
    os.utime(old, (0, 0))
    fetched.local("memory://bucket/0.tar", tell("memory://bucket/0.tar"))
    assert not old.exists() and new.exists()


def test_a_fetch_that_fails_is_tried_again(memory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counted = Counted(monkeypatch, failures=2)
    assert Shards("memory://bucket/0.tar").read(0)[0] == b"image 0" and len(counted.fetched) == 3
    Counted(monkeypatch, failures=3)
    with pytest.raises(UserError, match=r"memory://bucket/1\.tar cannot be read \(the line is down\)"):
        Shards("memory://bucket/1.tar")


def test_what_cannot_be_reached_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"memory://nowhere/0\.tar cannot be read \(there is no such file\)"):
        Shards("memory://nowhere/0.tar")
    with pytest.raises(UserError, match=r"nonsense://a\.tar cannot be read"):
        Shards("nonsense://a.tar")


def read_some(address: str, folder: Path, fetched: multiprocessing.Queue) -> None:
    """In a process of its own, by a file system that counts."""
    plain = remote.file_system

    def counting(address: str) -> tuple:
        system, path = plain(address)
        get = system.get_file
        system.get_file = lambda *where: (fetched.put(os.getpid()), time.sleep(0.1), get(*where))
        return system, path

    remote.file_system = counting
    FetchedShards(folder).local(address, tell(address))


def test_processes_fetch_a_shard_once(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", 0, 5)
    context = multiprocessing.get_context("fork")
    fetched = context.Queue()
    arguments = (f"file://{tmp_path}/0.tar", tmp_path / "copies", fetched)
    processes = [context.Process(target=read_some, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    who = [fetched.get(timeout=5)]
    while not fetched.empty():
        who.append(fetched.get())
    assert len(set(who)) == 1 and len(list((tmp_path / "copies").glob("*.tar"))) == 1
