"""Files that are either whole or absent: written beside their place, synced, then renamed."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from collotype.runtime.errors import UserError

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def room_to_write(path: Path) -> Iterator[None]:
    """Turns a full disk or a forbidden folder into a UserError that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise UserError(
                f"No room left while writing {path} ({error.strerror}); everything written before it is kept: "
                "free some space and repeat the command with --resume."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise UserError(f"Cannot write {path} ({error.strerror}); choose another folder with --out.") from error
        raise


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
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        try:
            yield scratch
            for file in scratch.rglob("*"):
                if file.is_file():
                    sync(file)
            scratch.chmod(0o755)
            sync(scratch)
            if path.exists():
                shutil.rmtree(path)
            scratch.rename(path)
            sync(path.parent)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `path` atomically."""
    with room_to_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(scratch, 0o644)
            os.replace(scratch, path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def sweep_partial(folder: Path) -> None:
    """Removes what a killed process left half-written in `folder`."""
    for leftover in folder.glob(".*.partial"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


class JsonLines:
    """An append-only file of one JSON object a line; `keep(...)` drops what a resumed run will write again."""

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """The whole lines; a last line cut short by a kill is not one of them."""
        if not self.path.exists():
            return []
        lines = self.path.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def keep(self, through_step: int) -> None:
        rows = [row for row in self.read() if row["step"] <= through_step]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in rows))

    def append(self, row: dict[str, Any]) -> None:
        with room_to_write(self.path), self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
