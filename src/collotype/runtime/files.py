"""Writes files completely or not at all: to a temporary file, synced, then renamed."""

import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from collotype.runtime.errors import UserError

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}
PARTIAL = ".partial"
"""How the names of files end that are not whole yet, or not wanted any more."""


@contextmanager
def room_to_write(path: Path) -> Iterator[None]:
    """Turns a full disk or a forbidden folder into a UserError that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise UserError(
                f"The disk is full: {path} could not be written ({error.strerror}). Everything before it is kept; free "
                "some space and repeat the command with --resume."
            ) from error
        if error.errno in NO_PLACE:
            raise UserError(f"Cannot write {path} ({error.strerror}); choose another folder with --out.") from error
        raise


def cache_folder() -> Path:
    """What can be made again and is kept: `COLLOTYPE_CACHE`, else `collotype` in the user's cache folder."""
    named = os.environ.get("COLLOTYPE_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "collotype"


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder to fill; it appears as `path` only when the block ends well. An older `path` is replaced."""
    with room_to_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent))
        try:
            yield scratch
            for file in scratch.rglob("*"):
                if file.is_file():
                    sync(file)
            scratch.chmod(0o755)
            sync(scratch)
            remove(path)
            scratch.rename(path)
            sync(path.parent)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A file to fill; it appears as `path` only when the block ends well. An older `path` is replaced."""
    with room_to_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent)
        os.close(descriptor)
        scratch = Path(name)
        try:
            yield scratch
            sync(scratch)
            scratch.chmod(0o644)
            scratch.replace(path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `path` atomically."""
    with atomic_file(path) as scratch:
        scratch.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    # names of files that are not UTF-8 have halves of characters, which stay as JSON writes them
    write_text(path, text.encode(errors="backslashreplace").decode())


def remove(path: Path) -> None:
    """Removes a file or folder, if it is there; a kill leaves it whole or gone, never half."""
    if path.is_dir():
        aside = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
        path.rename(aside)
        shutil.rmtree(aside)
    else:
        path.unlink(missing_ok=True)


def sweep_partial(folder: Path) -> None:
    """Removes what a killed process left half-written or half-removed anywhere below `folder`."""
    for leftover in list(folder.rglob(f".*{PARTIAL}")):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


@contextmanager
def dir_lock(folder: Path, busy: str, patience_s: float = 0) -> Iterator[None]:
    """Keeps other processes from holding `folder` for the time of the block; a kill lets go of it.

    Args:
        busy: what the user is told where another process holds it, after `patience_s` seconds.

    Raises:
        UserError: another process holds it.
    """
    import fcntl

    with room_to_write(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    give_up = time.monotonic() + patience_s
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    raise UserError(busy) from None
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Waits until no other process of this machine is within a block of the same `path`, an empty file."""
    from filelock import FileLock

    lock = FileLock(path)
    with room_to_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


class JsonLines:
    """An append-only file of one JSON object a line, each with its `step`."""

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """The whole lines; a last line cut short by a kill is not one of them."""
        if not self.path.exists():
            return []
        lines = self.path.read_text().split("\n")
        try:
            return [json.loads(line) for line in lines[:-1] if line]
        except ValueError as error:
            raise UserError(f"{self.path} is damaged ({error}); restart the run with --overwrite.") from error

    def keep(self, through_step: int) -> int:
        """Drops what a resumed run will write again; the number of rows that stay."""
        rows = [row for row in self.read() if row["step"] <= through_step]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in rows))
        return len(rows)

    def append(self, row: dict[str, Any]) -> None:
        with room_to_write(self.path), self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def sync(self) -> None:
        """Makes the lines so far outlast a power cut."""
        if self.path.exists():
            sync(self.path)
