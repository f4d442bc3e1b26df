"""An index of the samples in shards. Headers and texts are read once, by several processes, and cached until the
shard changes."""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_file, cache_folder, file_lock
from collotype.runtime.shards.names import is_remote
from collotype.runtime.shards.remote import FetchedShards, Told, tell
from collotype.runtime.shards.samples import ENTRY, MISSING, SURPLUS, Fault, IndexedShard, SampleLayout, index_shard

VERSION = 2
"""Of what an index holds; another one is made anew."""
ALONE = 4
"""As many shards are indexed without starting processes."""
Progress = Callable[[int, int], None]
"""Called with (shards that are indexed, shards in all)."""


class Shard(NamedTuple):
    """A tar as it was when it was indexed."""

    name: str
    told: Told


def told_of(names: list[str]) -> list[Shard]:
    """Sizes and versions; of other machines' many at a time."""
    with ThreadPoolExecutor(16) as threads:
        return [Shard(name, told) for name, told in zip(names, threads.map(told, names), strict=True)]


def told(name: str) -> Told:
    if is_remote(name):
        return tell(name)
    found = os.stat(name)
    return Told(found.st_size, str(found.st_mtime_ns))


def local(shard: Shard, fetched: FetchedShards) -> Path:
    return fetched.local(shard.name, shard.told) if is_remote(shard.name) else Path(shard.name)


def indexed(
    shards: list[Shard],
    layout: SampleLayout,
    fetched: FetchedShards,
    progress: Progress | None = None,
    processes: int | None = None,
) -> list[IndexedShard]:
    """Every shard's index, from the cache folder or made now; processes that start together make it once.

    Raises:
        UserError: a shard is unusable.
    """
    done: dict[Shard, IndexedShard] = {}
    turn = sha256("".join(kept_at(shard, layout).stem for shard in shards).encode()).hexdigest()[:20]
    with file_lock(cache_folder() / "shard-index" / f"{turn}.lock"):
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
    shards: list[Shard], layout: SampleLayout, fetched: FetchedShards, processes: int | None
) -> Iterable[tuple[Shard, IndexedShard | UserError]]:
    """Each shard with its index or what is wrong with it, as they are done."""
    processes = min(processes or os.cpu_count() or 1, len(shards))
    work = [(shard, layout, fetched) for shard in shards]
    if processes <= 1 or len(shards) <= ALONE:
        yield from map(make, work)
        return
    # forked as torch's loader processes are, so that a script needs no main guard; they only read files
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        yield from pool.map(make, work)


def make(work: tuple[Shard, SampleLayout, FetchedShards]) -> tuple[Shard, IndexedShard | UserError]:
    shard, layout, fetched = work
    try:
        index = index_shard(local(shard, fetched), layout, shard.name)
    except UserError as error:
        return shard, error
    save(kept_at(shard, layout), index)
    return shard, index


def kept_at(shard: Shard, layout: SampleLayout) -> Path:
    name = shard.name if is_remote(shard.name) else Path(shard.name).resolve()
    facts = f"{VERSION} {name} {shard.told} {layout}"
    return cache_folder() / "shard-index" / f"{sha256(facts.encode()).hexdigest()[:20]}.safetensors"


def save(path: Path, index: IndexedShard) -> None:
    from safetensors.numpy import save_file

    facts = {"faults": index.faults, "digest": index.digest, "samples": index.samples}
    with atomic_file(path) as scratch:
        save_file({"entries": index.entries.view(np.uint8)}, scratch, {"facts": json.dumps(facts)})


def load(path: Path) -> IndexedShard | None:
    """What `save` wrote; nothing if it is not there or damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            return IndexedShard(file.get_tensor("entries").view(ENTRY), **json.loads(file.metadata()["facts"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None


def other_counts(shards: list[Shard], indexes: list[IndexedShard]) -> list[Fault]:
    """Shards of which `sizes.json` beside them tells another number of samples than they have."""
    faults, sizes = [], {}
    for shard, index in zip(shards, indexes, strict=True):
        if is_remote(shard.name):
            continue
        path = Path(shard.name)
        if path.parent not in sizes:
            sizes[path.parent] = stated_sizes(path.parent / "sizes.json")
        stated = sizes[path.parent].get(path.name)
        if stated is not None and stated != index.samples:
            missing = stated - index.samples
            faults.append(Fault(MISSING if missing > 0 else SURPLUS, shard.name, abs(missing)))
    return faults


def stated_sizes(path: Path) -> dict[str, int]:
    if not path.is_file():
        return {}
    try:
        return {name: int(size) for name, size in dict(json.loads(path.read_text())).items()}
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} is not a JSON object that gives the size of each shard ({error}); correct or delete it."
        ) from error
