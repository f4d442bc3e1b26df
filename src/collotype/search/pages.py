"""The types of search: pages, encoded pages and queries, hits.

Boxes are (left, top, right, bottom) as fractions of the page's width and height, from the top left corner.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import quote

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

Box = tuple[float, float, float, float]
PageKey = tuple[str, int]
"""A page by its document and number."""
Interaction = Literal["late", "single", "sparse"]
"""How a query is compared with a page: MaxSim of their vectors, one vector each, or weights of vocabulary tokens."""
Draw = Callable[[Path, int, int], "Image.Image"]
"""Renders a page of a file, with the longest edge in pixels: `Drawer.draw`."""
WordsFrom = Literal["text layer", "ocr", "both", ""]
"""The source of a page's words; empty if it has none, or if the index is older than this field."""


@dataclass(frozen=True)
class Word:
    """A word of a page's text layer or of OCR."""

    text: str
    box: Box
    characters: Sequence[Box] = ()
    """Their boxes, if they are not evenly spaced from left to right; used to encode a page, not stored."""


@dataclass(frozen=True, kw_only=True)
class PageFacts:
    """A page of a document, without its image."""

    document: str
    """The file's path below the folder it was indexed from."""
    number: int
    """Counted from 1; an image is a document of one page."""
    digest: str
    """Digest of the page's content; an unchanged page is not encoded again."""
    size: tuple[int, int]
    """Of its image, in pixels."""
    words: Sequence[Word] = ()
    """In reading order: those of the text layer, then those of OCR."""
    words_from: WordsFrom = ""
    label: str = ""
    """The page label in the document ("iv", "A-3"), if it is not the number."""
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.document}#page={self.number}"


@dataclass(frozen=True, kw_only=True)
class Page(PageFacts):
    """A page before it is encoded."""

    image: Callable[[], "Image.Image"]


def no_image() -> "Image.Image":
    raise LookupError("A page given as words has no image.")


@dataclass(frozen=True)
class EncodedPage:
    """Vectors float32 [n, D] of unit length, and their boxes on the page: float32 [b, 4], NaN for none."""

    vectors: "np.ndarray"
    boxes: "np.ndarray"
    vector_of: "np.ndarray | None" = None
    """The vector of each box, int [b], if a vector has several; None: each has one."""
    token_ids: "np.ndarray | None" = None
    """For a sparse page, whose vectors are weights [n, 1]: their vocabulary tokens, int32 [n]."""


@dataclass(frozen=True)
class EncodedQuery:
    """Vectors float32 [m, D], and the query's word of each (its index in `words`, -1 for none)."""

    vectors: "np.ndarray"
    words: tuple[str, ...]
    word_of: tuple[int, ...]
    token_ids: "np.ndarray | None" = None
    """As in EncodedPage."""

    def similarities(self, page: EncodedPage) -> "np.ndarray":
        """The dot product of each query vector with the vector of each of the page's boxes, float32 [m, b]; for sparse
        pages, 0 for different tokens."""
        found: np.ndarray = (page.vectors @ self.vectors.T).T
        if self.token_ids is not None:
            found *= self.token_ids[:, None] == page.token_ids
        return found if page.vector_of is None else found[:, page.vector_of]

    def score(self, page: EncodedPage) -> float:
        """MaxSim, or the dot product of sparse vectors; 0 for a page without vectors."""
        if not len(page.vectors):
            return 0.0
        found = (page.vectors @ self.vectors.T).T if self.token_ids is None else self.similarities(page)
        return float(found.max(axis=1).sum())


class Encoder(Protocol):
    """What search needs of a retriever."""

    name: str
    """Shown in every result: "MiniLM over the text layer", "runs/desk-colpali/model"."""
    identity: str
    """Digest of everything that determines a vector; an index belongs to one identity."""
    dim: int

    @property
    def interaction(self) -> Interaction: ...

    @property
    def looks_at(self) -> Literal["picture", "words"]:
        """The part of a page that it encodes; for words, a page without a text layer goes through OCR first."""
        ...

    def encode_pages(self, pages: Sequence[Page]) -> list[EncodedPage]: ...

    def encode_queries(self, queries: Sequence[str]) -> list[EncodedQuery]: ...

    # an encoder that can search by images also has `encode_images(images) -> list[EncodedQuery]`


@dataclass(frozen=True, kw_only=True)
class MatchRegion:
    """The region of a page that matches one of the query's words best."""

    word: str
    box: Box
    score: float
    """Its dot product."""
    by: str = ""
    """The encoder that found it, if several search together."""


@dataclass(frozen=True, kw_only=True)
class FoundBy:
    """An encoder that found a page."""

    name: str
    """As in `Encoder`, or "BM25"."""
    rank: int
    """The page's rank in its results, from 1."""
    score: float
    """On its own scale."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A page that answers a query."""

    document: str
    page: int
    score: float
    """Exact MaxSim (the dot product for sparse pages), float32, under every plan; if several encoders search together,
    their fused score (`hybrid.fusion`)."""
    places: tuple[MatchRegion, ...]
    text: str
    """The text around the best match, if the page has text."""
    metadata: dict[str, Any]
    label: str = ""
    """As in PageFacts."""
    words_from: WordsFrom = ""
    """As in PageFacts."""
    found_by: tuple[FoundBy, ...] = ()
    """The best first."""

    @property
    def link(self) -> str:
        return f"{quote(self.document)}#page={self.page}"

    @property
    def page_named(self) -> str:
        """The page's number, and its own label if it has one: "7 (iv)"."""
        return f"{self.page} ({self.label})" if self.label else str(self.page)
