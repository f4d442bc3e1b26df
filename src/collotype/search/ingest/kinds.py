"""The file extensions that can be indexed, for command line and server."""

import importlib.util
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

PDF = ".pdf"
FIRST_BYTES = 1024
"""That are looked at to tell what a file is."""
TIFF = ((b"II*\0", 4), (b"MM\0*", 4), (b"II+\0", 4), (b"MM\0+", 4))
JPEG = ((b"\xff\xd8\xff", 3),)
JPEG_2000 = ((b"\0\0\0\x0cjP  ", 8), (b"\xff\x4f\xff\x51", 4))
HEIC = (b"ftyphei", 12), (b"ftyphev", 12), (b"ftypmif1", 12), (b"ftypmsf1", 12)
AVIF = ((b"ftypavif", 12), (b"ftypavis", 12), (b"ftypmif1", 12))
KINDS = {
    # a PDF may have other bytes before it, as readers allow
    PDF: ((b"%PDF-", FIRST_BYTES),),
    ".png": ((b"\x89PNG\r\n\x1a\n", 8),),
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".tif": TIFF,
    ".tiff": TIFF,
    ".webp": ((b"WEBP", 12),),
    ".bmp": ((b"BM", 2),),
    ".gif": ((b"GIF8", 4),),
    ".avif": AVIF,
    ".jp2": JPEG_2000,
    ".jpx": JPEG_2000,
    ".jpf": JPEG_2000,
    ".j2k": JPEG_2000,
    ".heic": HEIC,
    ".heif": HEIC,
}
"""Endings, and which bytes such a file has among the first how many."""
TIFFS, HEICS = (".tif", ".tiff"), (".heic", ".heif")


NEEDS = {"AVIF": "avif", "JPEG2000": "jpg_2000"}
"""What Pillow must have been built with."""


@lru_cache(maxsize=1)
def readable_endings() -> tuple[str, ...]:
    """Those of KINDS that what is installed here can read."""
    return tuple(filter(_is_readable, KINDS))


def _is_readable(ending: str) -> bool:
    from PIL import Image, features

    if ending == PDF:
        return True
    if ending in HEICS:
        return importlib.util.find_spec("pillow_heif") is not None
    Image.init()
    kind = Image.EXTENSION.get(ending)
    return kind in Image.OPEN and (kind not in NEEDS or bool(features.check(NEEDS[kind])))


def ending(path: Path) -> str:
    return path.suffix.lower()


def readable(path: Path) -> bool:
    return ending(path) in readable_endings()


def named_kinds() -> str:
    return " ".join(readable_endings())


def to_install(endings: Iterable[str]) -> str:
    """For files with these endings; nothing if that would not help."""
    unread = set(endings) & set(HEICS) - set(readable_endings())
    return "; HEIC is read with pip install 'collotype[heic]'" if unread else ""
