"""Encodes page images with any model of the retriever family."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from collotype.families.retriever.compact import cut, require_trained
from collotype.families.retriever.config import require_dim
from collotype.families.retriever.token_pooling import pool_tokens
from collotype.runtime.errors import UserError
from collotype.search.encoders.sparse import SparseEncoder, token_boxes
from collotype.search.encoders.student import by_word, identity
from collotype.search.image_query import WORD
from collotype.search.pages import EncodedPage, EncodedQuery, Page

if TYPE_CHECKING:
    from PIL import Image

    from collotype.families.retriever.model import Retriever

IMAGE_VECTORS = 64
"""Of an image that is looked for: MaxSim takes as long as a query has vectors."""


class RetrieverEncoder:
    """
    Args:
        name: what its results are said to be found by.
        dim: cut vectors to so many numbers; none: whole.

    Raises:
        UserError: they have not so many.
    """

    looks_at: Literal["picture"] = "picture"

    def __init__(self, model: "Retriever", name: str, dim: int | None = None):
        require_dim(dim, model.width, name)
        self.model, self.name, self.dim = model, name, dim or model.width
        self.interaction, whole = model.config.interaction, model.page_digest
        self.identity = identity(whole, dim, model.width)

    @classmethod
    def load(
        cls,
        source: str,
        preset: str | None = None,
        base: str | None = None,
        dtype: str | None = None,
        dim: int | None = None,
    ) -> "RetrieverEncoder | SparseEncoder":
        """
        Raises:
            UserError: there is no model, or it is not a retriever.
        """
        from collotype import families
        from collotype.runtime.device import pick_device
        from collotype.runtime.world import World

        if (family := families.family_of(source)) != "retriever":
            raise UserError(
                f"{source} is a model of the family {family}, which cannot retrieve pages; use a retriever, or "
                "`--model reader`."
            )
        model = families.load(source, preset=preset, base=base, dtype=dtype).to(pick_device(World()))
        if model.config.interaction == "sparse":
            if dim:
                raise UserError(
                    f"{source} represents a page by weights of {model.width:,} tokens, which cannot be cut; leave "
                    f"--dim {dim} out."
                )
            return SparseEncoder.of_model(model, source)
        return cls(model, source, dim)

    def require_trained(self, pool_factor: int | None) -> None:
        """
        Raises:
            UserError: the model was not trained for its dim here, or for that pool factor.
        """
        require_trained(self.model.config.compact, self.model.width, self.dim, pool_factor, self.name)

    def encode_pages(self, pages: Sequence[Page]) -> list[EncodedPage]:
        """A visual token looks at its part of the grid; those of a page's prompt look nowhere, as single vectors do."""
        vectors = self.model.encode_pages_from([page.size for page in pages], lambda place: pages[place].image())
        return [
            EncodedPage(cut(found, self.dim).numpy(), self.boxes(page.size, len(found)))
            for page, found in zip(pages, vectors, strict=True)
        ]

    def boxes(self, size: tuple[int, int], vectors: int) -> np.ndarray:
        if self.interaction == "late":
            return token_boxes(self.model.processor, size, vectors)
        return np.full((vectors, 4), np.nan, np.float32)

    def encode_queries(self, queries: Sequence[str]) -> list[EncodedQuery]:
        """Words as a reader sees them, each of one or more tokens."""
        vectors = [cut(found, self.dim).numpy() for found in self.model.encode_queries(queries)]
        reader = self.model.processor
        return [by_word(reader, self.interaction, query, found) for query, found in zip(queries, vectors, strict=True)]

    def encode_images(self, images: "Sequence[Image.Image]") -> list[EncodedQuery]:
        """Images in a query's place: the vectors of a page that looks like that, as few as a long query has."""
        found = []
        for image, vectors in zip(images, self.model.encode_pages(images), strict=True):
            if self.interaction == "late":
                vectors = vectors[~np.isnan(self.boxes(image.size, len(vectors))).any(axis=1)]
                vectors = pool_tokens(cut(vectors, self.dim), math.ceil(len(vectors) / IMAGE_VECTORS), "fast")
            found.append(EncodedQuery(cut(vectors, self.dim).numpy(), (WORD,), (0,) * len(vectors)))
        return found
