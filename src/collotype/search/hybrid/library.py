"""A library of several encoders and BM25 over the same pages."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from collotype.search.filters import allowed
from collotype.search.hybrid import bm25, fusion, parts
from collotype.search.hybrid.fusion import DEPTH, Ranking, Weights
from collotype.search.image_query import Query
from collotype.search.index import SIDE, Index, StoredPage
from collotype.search.library import EmbeddedLibrary, Progress, QueryError
from collotype.search.pages import Draw, EncodedQuery, Encoder, FoundBy, Hit, PageKey
from collotype.search.scoring.plan import Explanation

if TYPE_CHECKING:
    from PIL import Image

BM25 = "BM25"
BESIDE_WORDS = 0.25
"""How much BM25 counts beside an encoder that compares words by their spelling as well (docs/hybrid.md)."""
DEVIATIONS = 6
"""As many standard deviations as the best page of an encoder is above others, a page is for BM25 that has all of the
query's terms, and one that has half of them (the rare ones more) half as many: a part that knows little says little."""


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """How a hybrid search found its pages."""

    method: str
    weights: dict[str, float]
    parts: dict[str, Explanation | None]
    """Of each encoder; None where it had nothing to look for."""


class Words:
    """BM25 over the words of one index's pages."""

    name = BM25

    def __init__(self, index: Index):
        self.index = index
        # what is counted goes with a version of the table: one is kept
        self.counted = lru_cache(1)(lambda view: bm25.count(view.version, index.folder / SIDE))

    def ranking(self, query: str, documents: Sequence[str], among: Container[PageKey] | None = None) -> Ranking:
        view = self.index.view()
        catalogue, found = view.version.catalogue, self.counted(view)
        mask = allowed(view.version, None, list(documents) or None)
        if among is not None:
            mask &= np.fromiter((page in among for page in catalogue.row_of), bool, len(mask))
        scores = np.where(mask, found.scores(query), 0)
        best = np.lexsort((np.arange(len(scores)), -scores))[:DEPTH]
        named = best[scores[best] > 0]
        return Ranking(
            self.name,
            catalogue.page_keys(named),
            scores[best],
            lambda page: (row := catalogue.row_of.get(page)) is not None and bool(found.lengths[row]),
            found.most(query) / DEVIATIONS,
        )


class HybridLibrary(EmbeddedLibrary):
    """An index in a folder, with those beside it.

    Args:
        others: the parts beside it.
        weights: that were fitted, if any were.
    """

    def __init__(
        self,
        index: Index,
        encoder: Encoder,
        draw: Draw,
        others: Sequence[EmbeddedLibrary],
        weights: Weights | None = None,
    ):
        super().__init__(index, encoder, draw)
        self.others = list(others)
        self.members: list[EmbeddedLibrary] = [self, *self.others]
        self.words = Words(self.members[parts.with_words([one.model for one in self.members])].index)
        looks_at_words = any(one.model.looks_at == "words" for one in self.members)
        self.usual = Weights(of={BM25: BESIDE_WORDS} if looks_at_words else {})
        self.weights = weights or self.usual
        self.encoder = ", ".join([*(one.model.name for one in self.members), self.words.name])

    @classmethod
    def open(cls, folder: Path, draw: Draw, dtype: str | None = None, queries: str | None = None) -> "HybridLibrary":
        """
        Raises:
            UserError: as of `EmbeddedLibrary.open`, for any of its parts.
        """
        others = [EmbeddedLibrary.open(part.folder, draw, dtype) for part in parts.read(folder)]
        own = EmbeddedLibrary.open(folder, draw, dtype, queries)
        return cls(own.index, own.model, draw, others, fusion.read(folder))

    # --- asking

    @property
    def takes_images(self) -> bool:
        return any(hasattr(one.model, "encode_images") for one in self.members)

    def languages(self) -> dict[str, int]:
        return self.words.index.languages()

    def explained(
        self, query: Query, k: int, documents: Sequence[str] = (), languages: Sequence[str] = ()
    ) -> tuple[list[Hit], Any]:
        asked = self.asked(query)
        # what reads words knows the language of a scan; the others are told which pages they are
        among = self.words.index.pages_in(languages) if languages else None
        rankings, explanations = self.rankings(query, asked, k, documents, among)
        best = fusion.fused(rankings, self.weights)[:k]
        pages = [page for page, _ in best]
        views = [(one, one.index.hits(encoded, pages)) for one, encoded in asked if encoded is not None]
        weights = {one.name: self.weights.weight(one.name) for one in rankings}
        how = Fusion(method=self.weights.method, weights=weights, parts=explanations)
        ranks = [(one, {page: at for at, page in enumerate(one.pages)}) for one in rankings]
        return [
            merged(seen, score, found_by(page, ranks))
            for page, score in best
            if (seen := [(one, hits[page]) for one, hits in views if page in hits])
        ], how

    def asked(self, query: Query) -> list[tuple[EmbeddedLibrary, EncodedQuery | None]]:
        """The query as each member has it, None where its model can do nothing with it.

        Raises:
            QueryError: none of them can.
        """
        found, problem = [], None
        for one in self.members:
            try:
                encoded = one.encoded(query)
                found.append((one, encoded if len(encoded.vectors) else None))
            except QueryError as error:
                problem = problem or error
                found.append((one, None))
        if problem and all(encoded is None for _, encoded in found):
            raise problem
        return found

    def rankings(
        self,
        query: Query,
        asked: Sequence[tuple[EmbeddedLibrary, EncodedQuery | None]],
        k: int,
        documents: Sequence[str] = (),
        among: Container[PageKey] | None = None,
    ) -> tuple[list[Ranking], dict[str, Explanation | None]]:
        found, explanations = [], dict[str, Explanation | None]()
        for one, encoded in asked:
            explanations[one.model.name] = None
            if encoded is not None:
                which = {"documents": list(documents) or None, "among": among}
                pages, scores, explanations[one.model.name] = one.index.ranked(encoded, k, **which)
                found.append(Ranking(one.model.name, pages[:DEPTH], scores, one.index.sees()))
        # an image has no words
        by_words = [self.words.ranking(query, documents, among)] if isinstance(query, str) else []
        return [*found, *by_words], explanations

    def stored(self, page: PageKey) -> StoredPage:
        return self.words.index.page(*page) if self.words.index.sees()(page) else super().stored(page)

    def heatmap(self, document: str, page: int, query: Query, longest_px: int) -> "Image.Image":
        from collotype.search.heatmap import lit

        image = self.image(document, page, longest_px)
        views = [
            one.view_of(document, page, query)
            for one, encoded in self.asked(query)
            if encoded is not None and (document, page) in one.index.view().version.catalogue.row_of
        ]
        return lit(image, views)

    # --- changing it

    def add(self, file: Path, name: str, progress: Progress) -> int:
        pages = super().add(file, name, progress)
        for one in self.others:
            parts.same_documents(
                self.index.folder,
                one.index,
                one.model,
                only=[name],
                progress=lambda _, done, total: progress(done, total),
                passwords=self.passwords,
            )
        self.words.index.find_languages()
        return pages

    def delete(self, document: str) -> None:
        super().delete(document)
        for one in self.others:
            parts.forget_others(one.index, self.ledger.read())


def merged(views: Sequence[tuple[EmbeddedLibrary, Hit]], score: float, finders: tuple[FoundBy, ...]) -> Hit:
    """One hit of a page as several encoders have it: what reads words says what stands there."""
    first = next((hit for one, hit in views if one.model.looks_at == "words" and hit.text), views[0][1])
    places = [replace(place, by=one.model.name) for one, hit in views for place in hit.places]
    return replace(first, score=score, places=tuple(places), found_by=finders)


def found_by(page: PageKey, ranks: Sequence[tuple[Ranking, dict[PageKey, int]]]) -> tuple[FoundBy, ...]:
    """Which rankings named a page, the one that has it highest first."""
    named = [
        FoundBy(name=one.name, rank=places[page] + 1, score=float(one.scores[places[page]]))
        for one, places in ranks
        if page in places
    ]
    return tuple(sorted(named, key=lambda one: one.rank))
