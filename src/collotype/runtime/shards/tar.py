"""Where the files of a tar are, by its headers alone."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from collotype.runtime.errors import UserError

BLOCK = 512
"""Bytes of a header; every file of a tar starts at a multiple of it."""
NOTHING = bytes(BLOCK)
REGULAR, LONG_NAME, PAX = (b"0", b"\0", b"7"), b"L", b"x"
READ_AHEAD = 16 * 1024
"""What a header is read with: small files behind it come along."""


class Member(NamedTuple):
    """A regular file within a tar: `size` bytes from `offset` on."""

    name: str
    offset: int
    size: int


class BrokenTarError(Exception):
    """A tar that cannot be followed any further: it ends too early, or a header is damaged."""


def members(file: BinaryIO) -> Iterator[Member]:
    """The regular files of an uncompressed tar, in order: ustar, GNU and PAX, as Python's `tarfile` finds them, several
    times as fast.

    Raises:
        BrokenTarError: after the last file that is whole.
    """
    at, end = 0, os.fstat(file.fileno()).st_size
    long_name, long_size = None, None
    while True:
        file.seek(at)
        header = file.read(BLOCK)
        if header == NOTHING:
            return
        if len(header) < BLOCK:
            raise BrokenTarError(f"it ends at byte {end:,} without an end mark")
        kind, start = header[156:157], at + BLOCK
        size = long_size if long_size is not None and kind in REGULAR else checked_size(header, at)
        if start + size > end:
            raise BrokenTarError(
                f"it ends at byte {end:,}, inside a file of {size:,} bytes that starts at byte {start:,}"
            )
        at = start + (size + BLOCK - 1) // BLOCK * BLOCK
        if kind in REGULAR:
            name = long_name or name_of(header)
            if not name.endswith("/"):
                yield Member(name, start, size)
            long_name, long_size = None, None
        elif kind == LONG_NAME:
            file.seek(start)
            long_name = text_of(file.read(size))
        elif kind == PAX:
            file.seek(start)
            records = pax_records(file.read(size))
            long_name = records.get("path", long_name)
            long_size = int(records["size"]) if "size" in records else None
        elif kind == b"S":
            raise BrokenTarError(f"the file at byte {start:,} is stored sparse, which is not supported")
        else:
            # what a long name or size was told for need not be a regular file
            long_name, long_size = (long_name, long_size) if kind in (b"K", b"g") else (None, None)


def checked_size(header: bytes, at: int) -> int:
    """The size in a header whose checksum is right."""
    try:
        if number(header[148:156]) == sum(header) - sum(header[148:156]) + 8 * ord(" "):
            return number(header[124:136])
    except ValueError:
        pass
    raise BrokenTarError(f"the data at byte {at:,} is not a tar header")


def number(field: bytes) -> int:
    """Octal digits, or a large number in binary."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    return int(field.rstrip(b"\0 ") or b"0", 8)


def name_of(header: bytes) -> str:
    name = text_of(header[:100])
    prefix = text_of(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def text_of(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def pax_records(content: bytes) -> dict[str, str]:
    """`LENGTH KEY=VALUE` lines; values may hold line ends, so lengths are what counts."""
    records = {}
    while content:
        stated = content.partition(b" ")[0]
        length = int(stated) if stated.isdigit() else 0
        if not 0 < length <= len(content):
            raise BrokenTarError(f"a header gives its size as {stated[:20]!r}")
        key, _, value = content[:length].partition(b" ")[2].rstrip(b"\n").partition(b"=")
        records[key.decode()] = value.decode("utf-8", "surrogateescape")
        content = content[length:]
    return records


class TarShard:
    """One small tar file, indexed by key; members are read on demand.

    Raises:
        UserError: the file is missing, is not a tar, or ends too early.
    """

    def __init__(self, path: Path):
        self.path = path
        self.offsets: dict[str, dict[str, tuple[int, int]]] = {}
        try:
            with path.open("rb", buffering=READ_AHEAD) as file:
                for member in members(file):
                    key, _, extension = Path(member.name).name.partition(".")
                    self.offsets.setdefault(key, {})[extension] = (member.offset, member.size)
        except (OSError, BrokenTarError) as error:
            raise UserError(f"Cannot read the shard {path}: {error}; check the path or copy the file again.") from error

    def __contains__(self, key: str) -> bool:
        return key in self.offsets

    def read(self, key: str, extension: str) -> bytes:
        """The bytes of KEY.EXTENSION."""
        try:
            start, size = self.offsets[key][extension]
        except KeyError:
            raise UserError(f"{self.path} contains no {key}.{extension}; it has {len(self.offsets)} keys") from None
        with self.path.open("rb") as file:
            file.seek(start)
            content = file.read(size)
        if len(content) < size:
            raise UserError(f"{self.path} ends inside {key}.{extension}; copy the file again")
        return content
