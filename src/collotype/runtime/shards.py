"""Tar shards in webdataset layout (KEY.png, KEY.txt, KEY.json next to each other), read at random by key."""

import tarfile
from pathlib import Path

from collotype.runtime.errors import UserError


class TarShard:
    """One tar file, indexed by key; members are read on demand.

    Raises:
        UserError: the file is missing, is no tar, or ends too early.
    """

    def __init__(self, path: Path):
        self.path = path
        self.offsets: dict[str, dict[str, tuple[int, int]]] = {}
        try:
            with tarfile.open(path) as tar:
                for member in tar:
                    key, _, extension = Path(member.name).name.partition(".")
                    self.offsets.setdefault(key, {})[extension] = (member.offset_data, member.size)
        except (OSError, tarfile.TarError) as error:
            raise UserError(f"Cannot read the shard {path}: {error}; check the path or copy the file again.") from error

    def __contains__(self, key: str) -> bool:
        return key in self.offsets

    def read(self, key: str, extension: str) -> bytes:
        """The bytes of KEY.EXTENSION."""
        try:
            start, size = self.offsets[key][extension]
        except KeyError:
            raise UserError(f"{self.path} holds no {key}.{extension}; it has {len(self.offsets)} keys") from None
        with self.path.open("rb") as file:
            file.seek(start)
            content = file.read(size)
        if len(content) < size:
            raise UserError(f"{self.path} ends inside {key}.{extension}; copy the file again")
        return content
