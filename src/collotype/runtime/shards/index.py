"""Where every sample of a set of shards is. Headers and texts are read once, by several processes; each shard's index
is kept in the cache folder until the shard changes."""

import json
import multiprocessing
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_file, cache_folder, in_turn
from collotype.runtime.shards.names import is_remote, shard_names, some
from collotype.runtime.shards.remote import FetchedShards, Told, tell
from collotype.runtime.shards.samples import ENTRY, OTHER_COUNT, Fault, Indexed, Layout, index_shard
from collotype.runtime.shards.tar import BLOCK

VERSION = 1
"""Of what an index holds; another one is made anew."""
NEAR = 64 * 1024
"""Picture and text of a sample that are no further apart, in bytes, are read at once."""
OPEN_SHARDS = 32
"""Kept open by a process; a fetched one that was removed takes its room until it is closed."""
ALONE = 4
"""As many shards are indexed without starting processes."""
Progress = Callable[[int, int], None]
"""Called with (shards that are indexed, shards in all)."""


class Shard(NamedTuple):
    """A tar as it was when it was indexed."""

    name: str
    told: Told


class Shards:
    """The usable samples of tar shards, by row: shard after shard, in the order in which they stand there.

    Costs 17 bytes a sample, shared by loader processes that are forked. Can be sent to other processes.

    Args:
        source: see `names.shard_names`.
        fetched: where shards of other machines are kept.
        progress: told while headers are read, which takes some 30 s for a million samples on one core.

    Raises:
        UserError: a shard is missing or unusable.
    """

    def __init__(
        self,
        source: str | Sequence[str],
        layout: Layout = Layout(),  # noqa: B008 - frozen
        fetched: FetchedShards | None = None,
        progress: Progress | None = None,
        processes: int | None = None,
    ):
        self.layout, self.fetched = layout, fetched or FetchedShards()
        self.shards = told_of(shard_names(source))
        indexes = indexed(self.shards, layout, self.fetched, progress, processes)
        self.entries = np.concatenate([index.entries for index in indexes])
        self.starts = [0, *accumulate(len(index.entries) for index in indexes)]
        self.digest = sha256(" ".join(index.digest for index in indexes).encode()).hexdigest()
        self.faults = [
            Fault(cause, shard.name, count)
            for shard, index in zip(self.shards, indexes, strict=True)
            for cause, count in index.faults.items()
        ]
        self.faults += other_counts(self.shards, indexes)
        if not len(self):
            raise UserError(f"No sample of {some(self.names)} can be used: {counts(self.faults)}; download them again.")

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def names(self) -> list[str]:
        return [shard.name for shard in self.shards]

    @property
    def regions(self) -> list[range]:
        """The rows of each shard: what is read together is near each other."""
        return [range(start, stop) for start, stop in zip(self.starts, self.starts[1:], strict=False)]

    def shard(self, row: int) -> int:
        return bisect_right(self.starts, row) - 1

    def place(self, row: int) -> str:
        """The shard of a row, as a user knows it."""
        return self.shards[self.shard(row)].name

    def picture_key(self, row: int) -> tuple[str, int]:
        """Where the picture is."""
        return self.place(row), self.entries["picture"][row].item()

    def read(self, row: int) -> tuple[bytes, tuple[str, ...]]:
        """The picture's file, and its texts."""
        picture, picture_bytes, text, text_bytes, _ = self.entries[row].item()
        picture, text = picture * BLOCK, text * BLOCK
        start, stop = min(picture, text), max(picture + picture_bytes, text + text_bytes)
        if stop - start > picture_bytes + text_bytes + NEAR:
            return self._bytes(row, picture, picture_bytes), self.texts(row)
        content = self._bytes(row, start, stop - start)
        found = content[text - start : text - start + text_bytes]
        return content[picture - start : picture - start + picture_bytes], self.layout.texts(found)

    def texts(self, row: int) -> tuple[str, ...]:
        """The texts alone, without the picture."""
        _, _, text, text_bytes, _ = self.entries[row].item()
        return self.layout.texts(self._bytes(row, text * BLOCK, text_bytes))

    def _bytes(self, row: int, start: int, size: int) -> bytes:
        shard = self.shards[self.shard(row)]
        content = os.pread(opened(shard, self.fetched).fileno(), size, start)
        if len(content) < size:
            raise UserError(f"{shard.name} was cut off while it was in use; copy it again.")
        return content


def told_of(names: list[str]) -> list[Shard]:
    """Sizes and versions; of other machines' many at a time."""
    with ThreadPoolExecutor(16) as threads:
        return [Shard(name, told) for name, told in zip(names, threads.map(told, names), strict=True)]


def told(name: str) -> Told:
    if is_remote(name):
        return tell(name)
    found = os.stat(name)
    return Told(found.st_size, str(found.st_mtime_ns))


@lru_cache(maxsize=OPEN_SHARDS)
def opened(shard: Shard, fetched: FetchedShards) -> BinaryIO:
    """Stays readable when the file is removed; read with `pread`, which forked processes may share.

    Raises:
        UserError: it is not what was indexed.
    """
    for _ in range(2):
        path = local(shard, fetched)
        try:
            file = path.open("rb", buffering=0)
            break
        except FileNotFoundError:
            # another process needed the room between our finding the copy and opening it
            continue
    else:
        raise UserError(f"{shard.name} is gone from {path}; raise the limit of fetched shards or copy it again.")
    if not is_remote(shard.name) and told(shard.name) != shard.told:
        raise UserError(f"{shard.name} has changed since it was indexed; start again.")
    return file


def local(shard: Shard, fetched: FetchedShards) -> Path:
    return fetched.local(shard.name, shard.told) if is_remote(shard.name) else Path(shard.name)


def indexed(
    shards: list[Shard],
    layout: Layout,
    fetched: FetchedShards,
    progress: Progress | None = None,
    processes: int | None = None,
) -> list[Indexed]:
    """Every shard's index, from the cache folder or made now; processes that start together make it once.

    Raises:
        UserError: a shard is unusable.
    """
    done: dict[Shard, Indexed] = {}
    with in_turn(cache_folder() / "shard-index" / "lock"):
        for shard in shards:
            known = load(kept_at(shard, layout))
            if known:
                done[shard] = known
        missing = [shard for shard in shards if shard not in done]
        for shard, found in made(missing, layout, fetched, processes):
            if isinstance(found, UserError):
                raise found
            done[shard] = found
            if progress:
                progress(len(done), len(shards))
    return [done[shard] for shard in shards]


def made(
    shards: list[Shard], layout: Layout, fetched: FetchedShards, processes: int | None
) -> Iterable[tuple[Shard, Indexed | UserError]]:
    """Each shard with its index or what is wrong with it, as they are done."""
    processes = min(processes or os.cpu_count() or 1, len(shards))
    work = [(shard, layout, fetched) for shard in shards]
    if processes <= 1 or len(shards) <= ALONE:
        yield from map(make, work)
        return
    # forked as torch's loader processes are, so that a script needs no main guard; they only read files
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        yield from pool.map(make, work)


def make(work: tuple[Shard, Layout, FetchedShards]) -> tuple[Shard, Indexed | UserError]:
    shard, layout, fetched = work
    try:
        index = index_shard(local(shard, fetched), layout, shard.name)
    except UserError as error:
        return shard, error
    save(kept_at(shard, layout), index)
    return shard, index


def kept_at(shard: Shard, layout: Layout) -> Path:
    name = shard.name if is_remote(shard.name) else Path(shard.name).resolve()
    facts = f"{VERSION} {name} {shard.told} {layout}"
    return cache_folder() / "shard-index" / f"{sha256(facts.encode()).hexdigest()[:20]}.safetensors"


def save(path: Path, index: Indexed) -> None:
    from safetensors.numpy import save_file

    facts = {"faults": index.faults, "digest": index.digest, "samples": index.samples}
    with atomic_file(path) as scratch:
        save_file({"entries": index.entries.view(np.uint8)}, scratch, {"facts": json.dumps(facts)})


def load(path: Path) -> Indexed | None:
    """What `save` wrote; nothing if it is not there or damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            return Indexed(file.get_tensor("entries").view(ENTRY), **json.loads(file.metadata()["facts"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None


def other_counts(shards: list[Shard], indexes: list[Indexed]) -> list[Fault]:
    """Shards of which `sizes.json` beside them tells another number of samples than they have."""
    faults, sizes = [], {}
    for shard, index in zip(shards, indexes, strict=True):
        if is_remote(shard.name):
            continue
        path = Path(shard.name)
        if path.parent not in sizes:
            sizes[path.parent] = stated_sizes(path.parent / "sizes.json")
        stated = sizes[path.parent].get(path.name)
        if stated is not None and int(stated) != index.samples:
            faults.append(Fault(OTHER_COUNT, shard.name, abs(int(stated) - index.samples)))
    return faults


def stated_sizes(path: Path) -> dict[str, int]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} is no JSON object of shards and their sizes ({error}); correct or remove it."
        ) from error


def counts(faults: Iterable[Fault]) -> dict[str, int]:
    """Samples by cause, over all shards."""
    total: Counter = Counter()
    for fault in faults:
        total[fault.cause] += fault.count
    return dict(total)
