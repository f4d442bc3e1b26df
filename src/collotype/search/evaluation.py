"""Evaluates text encoders on a retriever's suites, to compare with models and BM25."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from collotype.evaluation.results import Measured
from collotype.families.retriever.benchmarks import find_suite
from collotype.families.retriever.benchmarks.benchmark import Event, Pages
from collotype.families.retriever.cache import Cache, key_of
from collotype.families.retriever.evaluate import evaluate as evaluate_searcher
from collotype.families.retriever.model import stack
from collotype.families.retriever.recipe import RetrieverEvaluate
from collotype.losses.contrastive import score_all
from collotype.recipe.evaluate import Evaluate
from collotype.runtime.errors import UserError
from collotype.runtime.ocr import Ocr
from collotype.runtime.process import over_blocks
from collotype.runtime.world import World
from collotype.search.pages import Encoder, Page, Word

NOWHERE = (0.0, 0.0, 1.0, 1.0)


class WordSearch:
    """Every page against every query, by the words of a suite's own text, or of what OCR reads."""

    def __init__(self, encoder: Encoder, cache: Cache):
        self.encoder, self.cache, self.digest = encoder, cache, encoder.identity

    def facts(self) -> Mapping[str, Any]:
        return {"found_by": self.encoder.name, "interaction": self.encoder.interaction}

    def looks_at(self, pages: Pages) -> str:
        return pages.text_from if pages.text is not None else self.ocr.version

    def events(self, queries: Sequence[str]) -> tuple[Event, ...]:
        return ()

    def scores(self, queries: Sequence[str], pages: Pages, world: World) -> Tensor:
        """MaxSim of all pairs: float32 [num_queries, num_pages]."""
        asked = stack([torch.from_numpy(query.vectors) for query in self.encoder.encode_queries(queries)])
        key = key_of([self.digest, self.looks_at(pages), pages.fingerprint])

        def encoded(block: range) -> list[Tensor]:
            found = self.encoder.encode_pages([self.page(pages, place) for place in block])
            return [torch.from_numpy(page.vectors) for page in found]

        def scored(block: range) -> Tensor:
            vectors = self.cache.vectors("words", key, block.start, lambda: encoded(block))
            return score_all(asked, stack(vectors))

        # a page without words is like nothing
        return torch.cat(over_blocks(len(pages), world, scored), dim=1).nan_to_num(neginf=0.0)

    def page(self, pages: Pages, place: int) -> Page:
        return Page(
            document=pages.ids[place],
            number=1,
            digest="",
            size=pages.size(place),
            image=lambda: pages.image(place),
            words=self.words(pages, place),
        )

    def words(self, pages: Pages, place: int) -> list[Word]:
        if pages.text is not None:
            return [Word(text, NOWHERE) for text in pages.text(place).split()]
        return [Word(*word) for word in self.ocr.words(pages.image(place))]

    @cached_property
    def ocr(self) -> Ocr:
        return Ocr()


def evaluate(model: str, choice: Evaluate, world: World, cache: Path | None = None) -> list[Measured]:
    """
    Raises:
        UserError: the suite is of models of another family.
    """
    from collotype.search.encoders import open_encoder

    if not isinstance(choice, RetrieverEvaluate):
        raise UserError(
            f"{model} can only be evaluated on retriever suites, but {choice.suite} is not one; leave {model} out."
        )
    return evaluate_searcher(WordSearch(open_encoder(model), Cache(cache)), find_suite(choice), world=world)
