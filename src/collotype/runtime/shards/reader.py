"""Samples of tar shards, read at random."""

import os
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import BinaryIO

import numpy as np

from collotype.runtime.errors import UserError
from collotype.runtime.shards.index import Progress, Shard, indexed, local, other_counts, told, told_of
from collotype.runtime.shards.names import is_remote, shard_names, some
from collotype.runtime.shards.remote import FetchedShards
from collotype.runtime.shards.samples import Fault, SampleLayout, in_words
from collotype.runtime.shards.tar import BLOCK

NEAR = 64 * 1024
"""Image and text of a sample that are no further apart, in bytes, are read at once."""
OPEN_SHARDS = 32
"""Kept open by a process; a fetched one that was removed takes its room until it is closed."""


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
        layout: SampleLayout = SampleLayout(),  # noqa: B008 - frozen
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
            raise UserError(f"No sample of {some(self.names)} can be used ({in_words(self.faults)}); correct them.")

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def names(self) -> list[str]:
        return [shard.name for shard in self.shards]

    @property
    def regions(self) -> list[range]:
        """The rows of each shard that has some: what is read fast one after the other."""
        return [range(start, stop) for start, stop in pairwise(self.starts) if start < stop]

    def require_room(self, window: int | None) -> None:
        """For random access to `window` shards at a time (none: all), of which fetched ones must stay at hand.

        Raises:
            UserError: they may not: nearly every sample would cost a fetch.
        """
        sizes = sorted((shard.told.size for shard in self.shards if is_remote(shard.name)), reverse=True)
        wanted = sum(sizes[:window])
        if wanted > self.fetched.limit:
            raise UserError(
                f"{len(sizes[:window])} shards such as {self.names[0]} are read together and take {wanted / 1e9:.1f} "
                f"GB, more than the limit of {self.fetched.limit_gb} GB for fetched shards; mix fewer with "
                "data.shuffle_window, or raise COLLOTYPE_SHARDS_GB."
            )

    def shard(self, row: int) -> int:
        return bisect_right(self.starts, row) - 1

    def place(self, row: int) -> str:
        """The shard of a row, as a user knows it."""
        return self.shards[self.shard(row)].name

    def image_key(self, row: int) -> tuple[str, int]:
        """Where the image is."""
        return self.place(row), self.entries["picture"][row].item()

    def read(self, row: int) -> tuple[bytes, tuple[str, ...]]:
        """The image's file, and its texts."""
        image, picture_bytes, text, text_bytes, _ = self.entries[row].item()
        image, text = image * BLOCK, text * BLOCK
        start, stop = min(image, text), max(image + picture_bytes, text + text_bytes)
        if stop - start > picture_bytes + text_bytes + NEAR:
            return self._bytes(row, image, picture_bytes), self.texts(row)
        content = self._bytes(row, start, stop - start)
        found = content[text - start : text - start + text_bytes]
        return content[image - start : image - start + picture_bytes], self.layout.texts(found)

    def texts(self, row: int) -> tuple[str, ...]:
        """The texts alone, without the image."""
        _, _, text, text_bytes, _ = self.entries[row].item()
        return self.layout.texts(self._bytes(row, text * BLOCK, text_bytes))

    def _bytes(self, row: int, start: int, size: int) -> bytes:
        shard = self.shards[self.shard(row)]
        # held while it is read: another thread may crowd it out of the cache, which closes it
        file = opened(shard, self.fetched)
        content = os.pread(file.fileno(), size, start)
        if len(content) < size:
            raise UserError(f"{shard.name} was truncated while in use; copy it again.")
        return content


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
        raise UserError(f"{shard.name} was deleted from {path}; raise the limit of fetched shards or copy it again.")
    if not is_remote(shard.name) and told(shard.name) != shard.told:
        raise UserError(f"{shard.name} has changed since it was indexed; start again.")
    return file
