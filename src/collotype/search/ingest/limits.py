"""What a file may cost before it is left out."""

from dataclasses import dataclass


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
    memory_bytes: int = 2 * 2**30
    """That reading may take beside what a worker takes by itself."""
    lost_pages: int = 3
    """Of one document that a worker may die of, or run out of time at; then the rest of it is left."""
    aspect: int = 200
    """How many times as long as wide a page may be."""


PAGE_PX = 1024
"""Longest edge of the picture of a page that is encoded; a smaller picture stays as it is."""
