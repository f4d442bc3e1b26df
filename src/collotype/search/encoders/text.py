"""The reader: late interaction over a page's words, without the image.

A word is two vectors side by side: that of a language model, which knows the words around it and what it means, and one
of the word's spelling and that of its two neighbours, which knows names, numbers and languages that the model never
saw. Their dot products add up, so a query's word is at its best where the same words, or words of its meaning, stand in
its context. The model is multilingual E5 where its package is installed, or MiniLM, which knows English.
What a page of many words says more than once is one vector there, the average, with all its places.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from collotype.runtime.errors import UserError
from collotype.runtime.terms import folded_and_cut, origins
from collotype.search.encoders.bert import MOST_PIECES, WINDOW, Bert
from collotype.search.pages import Box, EncodedPage, EncodedQuery, Page

SPELLING_DIM, NEIGHBOUR = 128, 0.5
"""Of the spelling's vector: its width, and how much each neighbour counts beside the word."""
EACH_UP_TO = 128
"""Terms of a page, up to which each has a vector of its own: on slides the average finds less (docs/search.md)."""


@dataclass(frozen=True)
class Version:
    """What a reader is made of; an index is searched, and updated, with the version that made it."""

    model: Literal["MiniLM", "multilingual E5"]
    layers: int
    spelling: float
    """Its part of a dot product."""
    each_up_to: int = EACH_UP_TO
    contents: float = 1.0
    """The length of a table of contents' vectors: it has the words of each title, but is seldom what was asked for."""
    eight_bits: bool = False


VERSIONS = {
    1: Version("MiniLM", 6, 0.4, each_up_to=sys.maxsize),
    2: Version("MiniLM", 4, 0.4),
    3: Version("multilingual E5", 6, 0.25, contents=0.8),
    4: Version("MiniLM", 4, 0.4, eight_bits=True),
    5: Version("multilingual E5", 6, 0.25, contents=0.8, eight_bits=True),
}
ENGLISH, MULTILINGUAL = 4, 5
FIRST = {
    "961396bce7149878f4f6b928fa62de70f49713e73b42dcbe130890bae4007459": (
        "7096b2c93a360f394705d6a23e2a1a77e6ea2b0ba5a48b6042945159fb1b542f"
    )
}
"""The identity that the first version had in indexes, by its weights' digest."""
LEADERS = ".…·‥．・"
MAX_QUERY_WORDS = 256


@dataclass(frozen=True)
class Term:
    """A word as it is compared."""

    text: str
    box: Box
    word: int
    """Which of the page's words, or the query's, it is of."""


class TextEncoder:
    """
    Args:
        version: of VERSIONS; the latest that is installed.

    Raises:
        UserError: its package is not installed.
    """

    interaction: Literal["late"] = "late"
    looks_at: Literal["words"] = "words"

    def __init__(self, version: int | None = None) -> None:
        self.version = version or latest()
        self.made_of = VERSIONS[self.version]
        number = f" {self.version}" if self.version > 1 else ""
        self.name = f"reader{number}: {self.made_of.model} and spelling, over the text layer or OCR"
        self.meaning = model_of(self.made_of)
        self.dim = self.meaning.dim + SPELLING_DIM
        self.identity = identity(self.version, self.meaning.digest)

    def encode_pages(self, pages: Sequence[Page]) -> list[EncodedPage]:
        """A vector for each term, or for each different one; none for a page without."""
        terms = [split([(word.text, word.box, word.characters) for word in page.words]) for page in pages]
        words = [[word.text for word in page.words] for page in pages]
        lengths = [self.made_of.contents if is_contents(of) else 1.0 for of in words]
        return [
            encoded(of, vectors, self.made_of.each_up_to, length)
            for of, vectors, length in zip(terms, self.vectors(words, terms), lengths, strict=True)
        ]

    def encode_queries(self, queries: Sequence[str]) -> list[EncodedQuery]:
        """
        Raises:
            UserError: a query has no word, or too many.
        """
        words = [tuple(query.split()) for query in queries]
        terms = [split([(word, (0.0, 0.0, 1.0, 1.0)) for word in of]) for of in words]
        for query, of in zip(queries, terms, strict=True):
            if not of:
                raise UserError(f"The query {query!r} has no word; give it at least one.")
            if len(of) > MAX_QUERY_WORDS:
                raise UserError(
                    f"The query {query[:40]!r}… has {len(of):,} words, more than the reader's limit of "
                    f"{MAX_QUERY_WORDS}; shorten it."
                )
        return [
            EncodedQuery(vectors, whole, tuple(term.word for term in of))
            for whole, of, vectors in zip(words, terms, self.vectors(words, terms), strict=True)
        ]

    def vectors(self, words: Sequence[Sequence[str]], terms: Sequence[Sequence[Term]]) -> list[np.ndarray]:
        """float32 [terms, dim] of unit length, for each text of these words and terms."""
        own = self.made_of.spelling
        return [
            np.concatenate([(1 - own) ** 0.5 * unit(meaning), own**0.5 * spelling([term.text for term in of])], axis=1)
            for of, meaning in zip(terms, self.meaning.vectors(words), strict=True)
        ]


def latest() -> int:
    from collotype.search.encoders import e5

    return MULTILINGUAL if e5.is_installed() else ENGLISH


def model_of(version: Version) -> Bert:
    if version.model == "MiniLM":
        from collotype.search.encoders.minilm import MiniLm

        return MiniLm(version.layers, version.eight_bits)
    from collotype.search.encoders.e5 import MultilingualE5

    return MultilingualE5(version.layers, version.eight_bits)


def identity(version: int, weights: str) -> str:
    """The same for the same vectors."""
    made_of = VERSIONS[version]
    settings = [version, SPELLING_DIM, made_of.spelling, NEIGHBOUR, EACH_UP_TO, WINDOW, MOST_PIECES]
    settings += [made_of.contents] if made_of.contents != 1 else []
    own = hashlib.sha256(json.dumps([weights, *settings]).encode()).hexdigest()
    return FIRST.get(weights, own) if version == 1 else own


def split(words: Sequence[tuple[str, Box] | tuple[str, Box, Sequence[Box]]]) -> list[Term]:
    """The terms in words, each with its part of the word's box.

    Args:
        words: with their boxes and, where these are known, those of their characters.
    """
    found: list[Term] = []
    for number, (text, box, *characters) in enumerate(words):
        folded, places = folded_and_cut(text)
        if not characters and places == ((0, len(folded)),):
            found.append(Term(folded, box, number))
            continue
        part = even_part(box, len(folded))
        if characters and characters[0]:
            part = own_part(np.array(characters[0]), origins(text, folded))
        found.extend(Term(folded[start:end], part(start, end), number) for start, end in places)
    return found


def even_part(box: Box, length: int) -> Callable[[int, int], Box]:
    """The box of some characters, as if all were equally wide."""
    left, top, right, bottom = box
    wide = (right - left) / max(1, length)
    return lambda start, end: (left + start * wide, top, left + end * wide, bottom)


def own_part(boxes: np.ndarray, origin: Sequence[tuple[int, int]]) -> Callable[[int, int], Box]:
    """The box around the characters' own, which each of the folded ones comes from."""

    def part(start: int, end: int) -> Box:
        of = boxes[origin[start][0] : origin[end - 1][1]]
        return (*of[:, :2].min(axis=0).tolist(), *of[:, 2:].max(axis=0).tolist())

    return part


def is_contents(words: Sequence[str]) -> bool:
    """Is a quarter of the page dots that lead to page numbers?"""
    text = "".join(words)
    return sum(map(text.count, LEADERS)) > len(text) / 4


def encoded(terms: Sequence[Term], vectors: np.ndarray, each_up_to: int, length: float = 1.0) -> EncodedPage:
    """A page of these terms with the vector of each; where they are more, those that are the same have the average."""
    boxes = np.array([term.box for term in terms], np.float32).reshape(-1, 4)
    if len(terms) <= each_up_to:
        return EncodedPage(length * vectors, boxes)
    places: dict[str, int] = {}
    vector_of = np.array([places.setdefault(term.text, len(places)) for term in terms], np.int32)
    order = np.argsort(vector_of, kind="stable")
    total = np.add.reduceat(vectors[order], np.searchsorted(vector_of[order], np.arange(len(places))))
    return EncodedPage(length * unit(total), boxes, vector_of)


def unit(vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return found


def spelling(terms: Sequence[str]) -> np.ndarray:
    """Of each term and, moved by a place to tell them from it, the terms before and after it: float32
    [terms, SPELLING_DIM] of unit length."""
    own = np.array([signs(term) for term in terms], np.float32).reshape(-1, SPELLING_DIM)
    found = own.copy()
    found[1:] += NEIGHBOUR * np.roll(own[:-1], 1, axis=1)
    found[:-1] += NEIGHBOUR * np.roll(own[1:], -1, axis=1)
    return unit(found)


@lru_cache(maxsize=2**16)
def signs(term: str) -> np.ndarray:
    """SPELLING_DIM numbers -1 or 1, chosen by the term alone: those of two terms are nearly orthogonal."""
    digest = hashlib.shake_128(term.encode("utf-8", "surrogatepass")).digest(SPELLING_DIM // 8)
    return np.unpackbits(np.frombuffer(digest, np.uint8)).astype(np.float32) * 2 - 1
