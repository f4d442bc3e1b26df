"""Limits on files, and the settings of a worker."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Beyond one of them a file, or a page of it, is reported and skipped."""

    file_bytes: int = 2**30
    pages: int = 20_000
    """Of a document."""
    page_characters: int = 60_000
    """Of a page's text layer; a dense page of a newspaper has 30,000."""
    page_s: float = 30.0
    """To read and draw a page, on the clock."""
    ocr_s: float = 300.0
    """To read a page's image; what is read by then is kept."""
    memory_bytes: int = 2 * 2**30
    """That reading may take beside what a worker takes by itself."""
    lost_pages: int = 3
    """Of one document that a worker may die of, or run out of time at; then the rest of it is left."""
    aspect: int = 200
    """How many times as long as wide a page may be."""
    attachments: int = 1000
    """Of a document."""


@dataclass(frozen=True, kw_only=True)
class ReadingSettings:
    """What a worker is told once."""

    limits: Limits = Limits()
    looks_at: Literal["picture", "words"] = "words"
    """"image" sends every page's image; the words of one without a text layer are read off for "words" alone."""
    passwords: tuple[str, ...] = ()
    """To be tried on every PDF that has one."""
    threads: int = 1
    """For OCR."""


PAGE_PX = 1024
"""Longest edge of the image of a page that is encoded; a smaller image stays as it is."""
