"""What a person searches in: an index, the encoder that made it, and the files its pages come from.

The terminal, the server and the tests know an index, wherever it lies, only by this.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from collotype.search.pages import Hit

if TYPE_CHECKING:
    from PIL import Image

Told = Callable[[int, int], None]
"""Called with how many pages are done, of how many."""


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """A document of an index."""

    name: str
    pages: int
    file: Path | None
    """Where it was indexed from, if the index says."""


class Library(Protocol):
    encoder: str
    """What finds the hits, in words."""

    def search(self, query: str, k: int, documents: Sequence[str] = ()) -> list[Hit]:
        """The best k pages, of these documents if any are named."""
        ...

    def documents(self) -> list[Indexed]: ...

    def picture(self, document: str, page: int, longest_px: int) -> "Image.Image":
        """
        Raises:
            UserError: there is no such page, or its file is gone.
        """
        ...

    def heatmap(self, document: str, page: int, query: str, longest_px: int) -> "Image.Image": ...

    def add(self, file: Path, name: str, told: Told) -> int:
        """Indexes a file under this name, in place of what had it; how many pages it has.

        Raises:
            UserError: it cannot be read, or is beyond a limit.
        """
        ...

    def delete(self, document: str) -> None: ...
