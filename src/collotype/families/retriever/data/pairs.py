"""Training examples of the retriever, and datasets whose pages are references."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from PIL import Image

from collotype.families.retriever.data.pages import PageRef
from collotype.runtime.errors import UserError
from collotype.runtime.seeds import derive_seed
from collotype.training.bad_examples import BadExampleError
from collotype.training.overlap import Samples


@dataclass(frozen=True)
class Pair:
    """A training example: a query, the page that answers it, and pages that do not."""

    query: str
    page: Image.Image
    negatives: tuple[Image.Image, ...] = ()
    scores: tuple[float, ...] = ()
    """A teacher's, of the page and of each negative, where they come from a table."""


class Scores(Protocol):
    def of(self, query: str, pages: Sequence[PageRef]) -> tuple[float, ...]: ...


class RefPairs(ABC):
    """Queries with references to their pages, wherever these come from."""

    closed_vocabulary = False
    queries: list[str]
    num_negatives = 0
    """Explicit negatives of an example, at most."""
    regions, left_out = (), 0
    scores: Scores | None = None

    @abstractmethod
    def pages(self, row: int) -> tuple[PageRef, ...]:
        """The pages that answer the query; one, mostly."""

    def negatives(self, row: int) -> tuple[PageRef, ...]:
        """All pages known not to answer it."""
        return ()

    @abstractmethod
    def where(self, row: int) -> str:
        """The row as a user finds it."""

    @abstractmethod
    def fingerprint(self) -> str: ...

    def __len__(self) -> int:
        return len(self.queries)

    def example(self, row: int, epoch: int) -> Pair:
        """Of several right pages one, and of the negatives `num_negatives`, others in every epoch."""
        pages, negatives = self.pages(row), self.negatives(row) if self.num_negatives else ()
        chosen = [pages[derive_seed("page", row, epoch) % len(pages)], *self._some(negatives, row, epoch)]
        try:
            page, *others = (ref.read() for ref in chosen)
        except UserError as error:
            detail = f"Training row {row} ({self.where(row)}): {error}"
            raise BadExampleError("page cannot be read", self.where(row).rpartition(",")[0], detail) from error
        scores = self.scores.of(self.queries[row], chosen) if self.scores else ()
        return Pair(self.queries[row], page, tuple(others), scores)

    def _some(self, refs: tuple[PageRef, ...], row: int, epoch: int) -> list[PageRef]:
        order = sorted(range(len(refs)), key=lambda place: derive_seed("negative", row, epoch, place))
        return [refs[place] for place in sorted(order[: self.num_negatives])]

    def samples(self) -> Samples:
        return Samples(len(self), self.queries.__getitem__, lambda row: [ref.read() for ref in self.pages(row)])

    def texts(self) -> list[str]:
        """The query of every row."""
        return self.queries

    def page_size(self) -> tuple[int, int]:
        """(width, height) in pixels of the first page, for the plan."""
        try:
            return self.pages(0)[0].read().size
        except UserError as error:
            raise UserError(f"Training row 0 ({self.where(0)}): {error}") from error

    def identities(self, row: int) -> tuple[Hashable, ...]:
        return self.queries[row], *self._page_keys[row]

    @cached_property
    def _page_keys(self) -> list[tuple[Hashable, ...]]:
        """In the order of the rows, because images within parquet files are known by their content only."""
        return [tuple(ref.key() for ref in self.pages(row)) for row in range(len(self))]
