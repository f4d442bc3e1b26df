"""Images with their captions, as training reads them."""

import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from collotype.runtime import images
from collotype.runtime.images import MAX_PIXELS
from collotype.runtime.seeds import derive_seed
from collotype.runtime.shards.samples import Fault
from collotype.training.bad_examples import BadExampleError
from collotype.training.overlap import Samples

if TYPE_CHECKING:
    from torch import Tensor


class CaptionSource(Protocol):
    """Where images and captions are: shards or a table. Random access by row."""

    digest: str
    """Of what the rows hold, as far as it can be had without reading images."""

    @property
    def faults(self) -> Sequence[Fault]:
        """What is left out, and was known without reading images."""

    def __len__(self) -> int: ...

    @property
    def regions(self) -> list[range]:
        """The rows of each shard (or row group), where it takes time to go from one to another; else none."""

    def place(self, row: int) -> str:
        """The file of a row, as a user knows it."""

    def read(self, row: int) -> tuple[bytes, tuple[str, ...]]:
        """The image's file, and its captions, one at least."""

    def texts(self, row: int) -> tuple[str, ...]:
        """The captions alone."""

    def image_key(self, row: int) -> Hashable:
        """What tells the row's image from others, as far as it can be had without reading it."""


class CaptionTransform(Protocol):
    """See `transforms.py`."""

    def __call__(self, image: Image.Image, rng: random.Random) -> "Tensor": ...


@dataclass
class Captioned:
    """Pixels [3, height, width]; uint8, unless their transform erases (see `transforms.py`)."""

    pixels: "Tensor"
    caption: str


class CaptionDataset:
    """A source's rows as training examples: a function of (seed, row, epoch). A `MapDataset`.

    Args:
        max_pixels: width x height that an image may have.
    """

    def __init__(self, source: CaptionSource, transform: CaptionTransform, seed: int, max_pixels: int = MAX_PIXELS):
        self.source, self.transform, self.seed, self.max_pixels = source, transform, seed, max_pixels

    def __len__(self) -> int:
        return len(self.source)

    @property
    def regions(self) -> list[range]:
        return self.source.regions

    @property
    def left_out(self) -> int:
        return sum(fault.left_out for fault in self.source.faults)

    @property
    def faults(self) -> Sequence[Fault]:
        return self.source.faults

    def example(self, row: int, epoch: int) -> Captioned:
        """Of several captions, epochs take turns.

        Raises:
            BadExampleError: the image cannot be decoded, or is too large.
        """
        content, captions = self.source.read(row)
        image = decode(content, self.source.place(row), self.max_pixels)
        rng = random.Random(derive_seed(self.seed, "augment", row, epoch))
        first = derive_seed(self.seed, "caption", row) if len(captions) > 1 else 0
        return Captioned(self.transform(image, rng), captions[(first + epoch) % len(captions)])

    def identities(self, row: int) -> tuple[Hashable, ...]:
        """The image, and the captions as a tokenizer sees them."""
        captions = {" ".join(text.lower().split()) for text in self.source.texts(row)}
        return ("picture", self.source.image_key(row)), *sorted(captions)

    def fingerprint(self) -> str:
        facts = f"{self.source.digest} {len(self)} {self.transform} {self.seed} {self.max_pixels}"
        return sha256(facts.encode()).hexdigest()


def samples_of(source: CaptionSource, rows: int) -> Samples:
    """The first rows, by their first captions."""
    return Samples(rows, lambda row: source.texts(row)[0], lambda row: [decode(source.read(row)[0], source.place(row))])


def decode(content: bytes, place: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """As `images.as_stored`.

    Raises:
        BadExampleError: it is damaged, no image, or has more than `max_pixels`.
    """
    try:
        return images.as_stored(content, place, max_pixels)
    except images.ImageError as error:
        raise BadExampleError(error.cause, place, str(error)) from error
