"""A training example of the retriever."""

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Pair:
    """A training example: a query, the page that answers it, and pages that do not."""

    query: str
    page: Image.Image
    negatives: tuple[Image.Image, ...] = ()
