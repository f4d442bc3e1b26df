"""The retriever's training data: (query, page) pairs."""

from typing import Protocol

from collotype.families.retriever.data.outline import OutlinePairs
from collotype.families.retriever.data.pairs import Pair
from collotype.families.retriever.data.sheets import SheetImages, SheetPairs, packaged_images
from collotype.families.retriever.data.slides import SlidePairs
from collotype.families.retriever.data.table_pairs import TablePairs, pair_needs
from collotype.families.retriever.recipe import PairSource, PdfOutlineSource, SheetSource, SlideSource
from collotype.runtime.hub import Need
from collotype.training.facts import MapDataset


class PairDataset(MapDataset, Protocol):
    """A source of training pairs."""

    closed_vocabulary: bool
    """Do `texts` hold every word that a query of this kind can have? Else they are the queries, row by row."""
    num_negatives: int
    """Explicit negatives of an example, at most."""

    def example(self, row: int, epoch: int) -> Pair: ...

    def texts(self) -> list[str]:
        """What a vocabulary of words is made of."""

    def page_size(self) -> tuple[int, int]:
        """(width, height) in pixels of the first page, for the plan."""


def open_source(source: SheetSource | SlideSource | PairSource | PdfOutlineSource) -> PairDataset:
    """The dataset of a source of `data.train`.

    Raises:
        UserError: it is not there, or not as the source says.
    """
    match source:
        case SheetSource():
            images = SheetImages(source.pictures) if source.pictures else packaged_images()
            return SheetPairs(images, source.queries, source.seed, source.negatives)
        case SlideSource():
            return SlidePairs(source)
        case PairSource():
            return TablePairs(source)
        case PdfOutlineSource():
            return OutlinePairs(source)


def source_needs(source: SheetSource | SlideSource | PairSource | PdfOutlineSource) -> list[Need]:
    """What `open_source` will fetch of the hub, if it will."""
    return pair_needs(source) if isinstance(source, PairSource) else []


__all__ = ["Pair", "PairDataset", "open_source", "source_needs"]
