"""Shards of other machines (`https://`, `s3://`, `hf://`, whatever fsspec knows), fetched whole into a bounded folder
of this one, so that random access goes on locally. Processes share the folder."""

import os
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collotype.runtime.dry_run import is_dry
from collotype.runtime.errors import UserError
from collotype.runtime.files import PARTIAL, atomic_file, cache_folder, file_lock

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ATTEMPTS, WAIT_S = 3, 2.0
"""A fetch that fails is tried again: a day of training should not end for a dropped connection."""
VERSIONS = ("ETag", "etag", "md5", "blob_id", "LastModified", "Last-Modified", "mtime", "created", "generation")
"""What the systems of fsspec know of a file's version, under their names."""
STALE_S = 3600
"""What has not grown for so long is the rest of a fetch that was killed."""


@dataclass(frozen=True)
class Told:
    """What is known of a file without reading it."""

    size: int
    version: str


def file_system(address: str) -> tuple["AbstractFileSystem", str]:
    """The system an address is of, and the path there; looked up anew in every process.

    Raises:
        UserError: its client is not installed, or this is a dry run.
    """
    if is_dry():
        raise UserError(f"{address} is on another machine, which `check` does not contact; a run does.")
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(address)
        return system, path
    except (ImportError, ValueError) as error:
        raise UserError(f"{address} cannot be read: {error}.") from error


def remote_glob(pattern: str) -> list[str]:
    """Addresses, sorted."""
    system, path = file_system(pattern)
    try:
        return sorted(map(system.unstrip_protocol, system.glob(path)))
    except Exception as error:  # every system raises its own
        raise unreachable(pattern, error) from error


def tell(address: str) -> Told:
    """Size and version of a shard.

    Raises:
        UserError: there is none, or it cannot be reached.
    """
    system, path = file_system(address)
    try:
        told: dict[str, Any] = system.info(path)
    except Exception as error:  # every system raises its own
        raise unreachable(address, error) from error
    return Told(told.get("size") or 0, " ".join(str(told[name]) for name in VERSIONS if told.get(name)))


def unreachable(address: str, error: Exception) -> UserError:
    why = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    why = "there is no such file" if isinstance(error, FileNotFoundError) else why
    return UserError(f"{address} cannot be read ({why}); check the address, the network and your access.")


@dataclass(frozen=True)
class FetchedShards:
    """A folder of fetched shards; past `limit_gb` those go first that were not used for longest. Each process that is
    fetching may exceed the limit by its shard."""

    folder: Path = field(default_factory=lambda: cache_folder() / "shards")
    limit_gb: float = field(default_factory=lambda: float(os.environ.get("COLLOTYPE_SHARDS_GB", "50")))

    @property
    def limit(self) -> int:
        """Bytes."""
        return int(self.limit_gb * 1e9)

    def local(self, address: str, told: Told) -> Path:
        """The shard's copy; it is fetched if it is not there, by one process while others wait for it. It may go when
        another is fetched: open it at once.

        Raises:
            UserError: it cannot be fetched, or is larger than the folder may become.
        """
        if told.size > self.limit:
            raise UserError(
                f"{address} has {told.size / 1e9:.1f} GB, more than the limit of {self.limit_gb} GB for fetched "
                "shards; raise COLLOTYPE_SHARDS_GB."
            )
        digest = sha256(f"{address} {told.size} {told.version}".encode()).hexdigest()[:20]
        copy = self.folder / f"{digest}.tar"
        with file_lock(self.folder / f"{digest}.lock"):
            if copy.is_file():
                os.utime(copy)
            else:
                self._fetch(address, told, copy)
        return copy

    def _fetch(self, address: str, told: Told, copy: Path) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            self._make_room(told.size)
            system, path = file_system(address)
            try:
                with atomic_file(copy) as scratch:
                    system.get_file(path, str(scratch))
                    size = scratch.stat().st_size
                    if told.size and size != told.size:
                        raise OSError(f"received {size:,} of {told.size:,} bytes")
                return
            except UserError:
                raise
            except Exception as error:  # every system raises its own
                if attempt == ATTEMPTS:
                    raise unreachable(address, error) from error
                time.sleep(WAIT_S * attempt)

    def _make_room(self, wanted: int) -> None:
        """Removes the copies used least recently until `wanted` more bytes are within the limit."""
        with file_lock(self.folder / "room.lock"):
            copies = [(copy.stat().st_mtime, copy.stat().st_size, copy) for copy in self.folder.glob("*.tar")]
            partial = [(part.stat().st_mtime, part.stat().st_size, part) for part in self.folder.glob(f".*{PARTIAL}")]
            stale = [part for part in partial if part[0] < time.time() - STALE_S]
            held = sum(size for _, size, _ in copies + partial)
            for _, size, file in stale + sorted(copies):
                if held + wanted > self.limit or file.suffix == PARTIAL:
                    file.unlink(missing_ok=True)
                    held -= size
