"""The types of search: pages, encoded pages and queries, hits.

Boxes are (left, top, right, bottom) as parts of the page's width and height, from the top left corner.
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
"""How a query meets a page: vectors of both by MaxSim, one vector of each, or the weights of a vocabulary's tokens."""
Draw = Callable[[Path, int, int], "Image.Image"]
"""A page of a file, its longest edge so many pixels: `Drawer.draw`."""
WordsFrom = Literal["text layer", "ocr", "both", ""]
"""Where a page's words come from; nothing where it has none, or the index is older than this."""


@dataclass(frozen=True)
class Word:
    """A word of a page's text layer, or of what OCR read."""

    text: str
    box: Box
    characters: Sequence[Box] = ()
    """Their boxes, where they do not lie evenly from left to right; needed to encode a page, and not stored."""


@dataclass(frozen=True, kw_only=True)
class PageFacts:
    """A page of a document, without its looks."""

    document: str
    """The file's path below the folder it was indexed from, as the user knows it."""
    number: int
    """Counted from 1; an image is a document of one page."""
    digest: str
    """Of what is on the page: an unchanged page is not encoded again."""
    size: tuple[int, int]
    """Of its image, in pixels."""
    words: Sequence[Word] = ()
    """In reading order: those of the text layer, then those of OCR."""
    words_from: WordsFrom = ""
    label: str = ""
    """What the document itself calls the page ("iv", "A-3"), if that is not its number."""
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.document}#page={self.number}"


@dataclass(frozen=True, kw_only=True)
class Page(PageFacts):
    """As it comes in, before it is encoded."""

    image: Callable[[], "Image.Image"]


def no_image() -> "Image.Image":
    raise LookupError("A page of words alone has no image.")


@dataclass(frozen=True)
class EncodedPage:
    """Vectors float32 [n, D] of unit length, and where on the page they were read: float32 [b, 4], NaN for nowhere."""

    vectors: "np.ndarray"
    boxes: "np.ndarray"
    vector_of: "np.ndarray | None" = None
    """Which vector each box is of, int [b], where one has several; without it, each has one."""
    token_ids: "np.ndarray | None" = None
    """Of a sparse page, whose vectors are weights [n, 1]: the tokens of the vocabulary that they are of, int32 [n]."""


@dataclass(frozen=True)
class EncodedQuery:
    """Vectors float32 [m, D], and for each the query's word it belongs to (its index in `words`, -1 for none)."""

    vectors: "np.ndarray"
    words: tuple[str, ...]
    word_of: tuple[int, ...]
    token_ids: "np.ndarray | None" = None
    """As in EncodedPage."""

    def similarities(self, page: EncodedPage) -> "np.ndarray":
        """The dot product of each of its vectors with the vector of each of a page's boxes, float32 [m, b]; of sparse
        ones only weights of the same token have any."""
        found: np.ndarray = (page.vectors @ self.vectors.T).T
        if self.token_ids is not None:
            found *= self.token_ids[:, None] == page.token_ids
        return found if page.vector_of is None else found[:, page.vector_of]

    def score(self, page: EncodedPage) -> float:
        """MaxSim, or the dot product of sparse ones; 0 of a page that has no vectors."""
        if not len(page.vectors):
            return 0.0
        found = self.vectors @ page.vectors.T if self.token_ids is None else self.similarities(page)
        return float(found.max(axis=1).sum())


class Encoder(Protocol):
    """A retriever as search sees it."""

    name: str
    """What made a hit, said in every result: "MiniLM over the text layer", "runs/desk-colpali/model"."""
    identity: str
    """Digest of all that decides a vector: an index belongs to one."""
    dim: int

    @property
    def interaction(self) -> Interaction: ...

    @property
    def looks_at(self) -> Literal["picture", "words"]:
        """Which of a page it reads; the words of a page without a text layer are read off its image before."""
        ...

    def encode_pages(self, pages: Sequence[Page]) -> list[EncodedPage]: ...

    def encode_queries(self, queries: Sequence[str]) -> list[EncodedQuery]: ...

    # one that can look for images has `encode_images(images) -> list[EncodedQuery]` as well


@dataclass(frozen=True, kw_only=True)
class MatchRegion:
    """Where on a page one of a query's words was found best."""

    word: str
    box: Box
    score: float
    """Its dot product."""
    by: str = ""
    """What found it there, where several search together."""


@dataclass(frozen=True, kw_only=True)
class FoundBy:
    """One of those that found a page."""

    name: str
    """As of `Encoder`, or "BM25"."""
    rank: int
    """The page's place in what it found, from 1."""
    score: float
    """In its own measure."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A page that answers a query."""

    document: str
    page: int
    score: float
    """Exact MaxSim (of sparse ones the dot product), float32, whatever found the page; where several search together,
    `hybrid.fusion` of them."""
    places: tuple[MatchRegion, ...]
    text: str
    """What stands around the best place, if the page has text."""
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
