"""Encodes pages for the index; this step runs here or on a cluster."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collotype.runtime.errors import UserError
from collotype.search.ingest.reading import Lost, PageRead
from collotype.search.pages import EncodedPage, Encoder, Page, Word

if TYPE_CHECKING:
    from PIL import Image

BATCH = 16
"""Pages encoded together."""
UNFIT = "the model cannot take it"


@dataclass(frozen=True)
class Pixels:
    """A page's image as it came from a worker."""

    size: tuple[int, int]
    rgb: bytes | None

    def __call__(self) -> "Image.Image":
        from PIL import Image

        return Image.frombytes("RGB", self.size, self.rgb or b"")


@dataclass(frozen=True)
class Encoded:
    page: Page
    encoded: EncodedPage


def as_page(read: PageRead) -> Page:
    """The page as an encoder takes it."""
    return Page(
        document=read.document,
        number=read.number,
        digest=read.digest,
        size=read.size,
        image=Pixels(read.size, read.pixels),
        words=[Word(*word) for word in read.words],
        words_from=read.words_from,
        label=read.label,
    )


class Encoding:
    """An encoder, which may refuse a page."""

    def __init__(self, encoder: Encoder):
        self.encoder = encoder

    def encode(self, pages: Sequence[Page]) -> list[Encoded | Lost]:
        """Each page, in their order; one that the encoder refuses costs no other."""
        if not pages:
            return []
        try:
            vectors = self.encoder.encode_pages(pages)
        except UserError as error:
            if len(pages) > 1:
                return [one for page in pages for one in self.encode([page])]
            return [Lost(pages[0].document, pages[0].number, UNFIT, str(error))]
        return [Encoded(page, encoded) for page, encoded in zip(pages, vectors, strict=True)]
