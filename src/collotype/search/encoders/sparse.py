"""A sparse retriever: a page is weights of a vocabulary's tokens, a query its own tokens, which no model reads. So an
index keeps what reads a query, and the model is loaded, with torch, when there is a page or an image to encode."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from collotype.families.retriever.query_reader import QueryReader
from collotype.search.image_query import WORD
from collotype.search.manifest import Manifest
from collotype.search.pages import EncodedPage, EncodedQuery, Encoder, Page

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from collotype.families.retriever.model import Retriever
    from collotype.families.retriever.processor import Processor

FILE = "query-reader.json"
"""In an index's folder."""
IMAGE_TOKENS = 64
"""Of an image that is looked for, those of the most weight."""


class SparseEncoder:
    """
    Args:
        name: what its results are said to be found by.
        identity: as of `Encoder`; dim: tokens of the vocabulary.
        load: reads its model.
    """

    interaction: Literal["sparse"] = "sparse"
    looks_at: Literal["picture"] = "picture"

    def __init__(self, name: str, identity: str, dim: int, reader: QueryReader, load: "Callable[[], Retriever]"):
        self.name, self.identity, self.dim, self.reader, self.load = name, identity, dim, reader, load

    @classmethod
    def of_model(cls, model: "Retriever", name: str) -> "SparseEncoder":
        return cls(name, model.page_digest, model.width, model.processor, lambda: model)

    @classmethod
    def of_index(cls, folder: Path, about: Manifest, load: "Callable[[], Encoder]") -> "SparseEncoder":
        """That of an index, by what the index keeps.

        Args:
            load: the encoder with its model.
        """

        def checked() -> "Retriever":
            found = load()
            about.belongs_to(found, folder)
            assert isinstance(found, SparseEncoder)
            return found.model

        return cls(about.encoder_name, about.identity, about.dim, QueryReader.read(folder / FILE), checked)

    @cached_property
    def model(self) -> "Retriever":
        """
        Raises:
            UserError: it is not there, or is another by now.
        """
        return self.load()

    def keep(self, folder: Path) -> None:
        """Leaves in an index what reads its queries."""
        self.reader.write(folder / FILE)

    def encode_pages(self, pages: Sequence[Page]) -> list[EncodedPage]:
        """Each weight is placed where it was read: at the patch of a visual token, or nowhere."""
        found = self.model.encode_sparse([page.size for page in pages], lambda place: pages[place].image())
        return [self.page(page.size, *one) for page, one in zip(pages, found, strict=True)]

    def page(self, size: tuple[int, int], tokens: "Tensor", weights: "Tensor", at: "Tensor") -> EncodedPage:
        processor = self.model.processor
        boxes = token_boxes(processor, size, processor.page_length(size))[at.numpy()]
        return EncodedPage(weights[:, None].numpy(), boxes, token_ids=tokens.numpy().astype(np.int32))

    def encode_queries(self, queries: Sequence[str]) -> list[EncodedQuery]:
        """Its own tokens, once each, of the first word that has them."""
        return [self.query(text) for text in queries]

    def query(self, text: str) -> EncodedQuery:
        ids, own = self.reader.query_ids(text)
        words, first = self.reader.word_of(text), dict[int, int]()
        for place in own:
            first.setdefault(ids[place], words.get(place, -1))
        weights = np.ones((len(first), 1), np.float32)
        return EncodedQuery(weights, tuple(text.split()), tuple(first.values()), np.array([*first], np.int32))

    def encode_images(self, images: "Sequence[Image.Image]") -> list[EncodedQuery]:
        """What a page that looks like that has, its tokens of the most weight."""
        found = []
        for tokens, weights, _ in self.model.encode_sparse([image.size for image in images], images.__getitem__):
            most = weights.argsort(descending=True)[:IMAGE_TOKENS]
            ids = tokens[most].numpy().astype(np.int32)
            found.append(EncodedQuery(weights[most, None].numpy(), (WORD,), (0,) * len(ids), ids))
        return found


def token_boxes(processor: "Processor", size: tuple[int, int], count: int) -> np.ndarray:
    """Where each of a page's `count` tokens looks, float32 [count, 4]: at its part of the grid, or, one of the prompt,
    nowhere (NaN)."""
    boxes = np.full((count, 4), np.nan, np.float32)
    looking, (rows, columns) = processor.visual_tokens(size)
    row, column = np.divmod(np.arange(rows * columns), columns)
    edges = np.stack([column, row, column + 1, row + 1], axis=1)
    boxes[looking.numpy()] = edges / np.array([columns, rows, columns, rows])
    return boxes
