"""Pages as they were read, made into what an index takes: the step that runs here or on a cluster."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collotype.runtime.errors import UserError
from collotype.search.ingest.reading import Lost, PageRead
from collotype.search.pages import EncodedPage, Encoder, Page, Word

if TYPE_CHECKING:
    from PIL import Image

    from collotype.runtime.ocr import Ocr

BATCH = 16
"""Pages encoded together."""
UNFIT, NO_TEXT = "the model cannot take it", "no text"


@dataclass(frozen=True)
class Pixels:
    """A page's picture as it came from a worker."""

    size: tuple[int, int]
    rgb: bytes | None

    def __call__(self) -> "Image.Image":
        from PIL import Image

        return Image.frombytes("RGB", self.size, self.rgb)


@dataclass(frozen=True)
class Encoded:
    page: Page
    encoded: EncodedPage


class Encoding:
    """An encoder, and OCR where it needs words that a page has not."""

    def __init__(self, encoder: Encoder):
        self.encoder = encoder
        self.ocr: Ocr | None = None

    def page(self, read: PageRead) -> Page | Lost:
        """The page as the encoder takes it; its picture is read off if there is no text."""
        picture = Pixels(read.size, read.pixels)
        words = [Word(*word) for word in read.words]
        if not words and self.encoder.looks_at == "words":
            try:
                words = self.read_off(picture())
            except UserError as error:
                return Lost(read.document, read.number, NO_TEXT, str(error))
        return Page(
            document=read.document,
            number=read.number,
            digest=read.digest,
            size=read.size,
            picture=picture,
            words=words,
        )

    def read_off(self, picture: "Image.Image") -> list[Word]:
        """The words on a picture; none on one that has a single colour, which OCR need not look for.

        Raises:
            UserError: OCR is not installed.
        """
        if all(low == high for low, high in picture.getextrema()):
            return []
        if self.ocr is None:
            from collotype.runtime.ocr import Ocr

            self.ocr = Ocr()
        return [Word(*word) for word in self.ocr.words(picture)]

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
