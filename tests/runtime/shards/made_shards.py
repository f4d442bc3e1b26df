"""Shards small enough for a test, written by Python's tarfile."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path


def write_tar(path: Path, files: Iterable[tuple[str, bytes]], form: int = tarfile.USTAR_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def sample(key: str, image: bytes | None = b"picture", caption: str | None = "a caption") -> list[tuple[str, bytes]]:
    """KEY.jpg holds the given bytes, which need not be an image here, and KEY.txt the caption."""
    files = [(f"{key}.jpg", image)] if image is not None else []
    return files + ([(f"{key}.txt", caption.encode())] if caption is not None else [])


def write_shard(path: Path, first: int, count: int) -> Path:
    """Samples whose images are `image N` and captions `caption N`."""
    files = (part for n in range(first, first + count) for part in sample(f"{n:05d}", b"image %d" % n, f"caption {n}"))
    return write_tar(path, files)
