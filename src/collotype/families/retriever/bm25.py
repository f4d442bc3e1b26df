"""BM25 over the text of pages: a baseline for retrievers of page images.

The text is the source's own (a PDF's text layer, a text column), or what OCR reads on the image.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from collotype.families.retriever.benchmarks.benchmark import Event, Pages
from collotype.families.retriever.cache import Cache, key_of
from collotype.runtime.errors import UserError
from collotype.runtime.ocr import Ocr
from collotype.runtime.process import over_blocks
from collotype.runtime.terms import K1, RUN, UNSEEN, B, terms
from collotype.runtime.world import World

METHOD = "lucene"
"""bm25s' default."""


class Bm25:
    """Searches pages by their words."""

    name = "bm25"

    def __init__(self, cache: Cache | None = None):
        from importlib.metadata import version

        self.cache = cache or Cache()
        self.digest = key_of([METHOD, K1, B, version("bm25s"), RUN, UNSEEN])

    def facts(self) -> dict[str, object]:
        return {"method": METHOD, "k1": K1, "b": B}

    def events(self, queries: Sequence[str]) -> tuple[Event, ...]:
        return ()

    def looks_at(self, pages: Pages) -> str:
        return pages.text_from if pages.text is not None else self.reader.version

    def scores(self, queries: Sequence[str], pages: Pages, world: World) -> Tensor:
        """BM25 of all pairs: float32 [num_queries, num_pages]; 0 where no word is shared.

        Raises:
            UserError: no page has any words.
        """
        import bm25s

        texts = chain.from_iterable(over_blocks(len(pages), world, lambda block: self._texts(pages, block)))
        documents = [terms(text) for text in texts]
        if not any(documents):
            raise UserError(
                f"None of the {len(pages)} pages has words in {self.looks_at(pages)}, so BM25 cannot find anything."
            )
        index = bm25s.BM25(method=METHOD, k1=K1, b=B)
        index.index(documents, show_progress=False)
        found = np.zeros((len(queries), len(pages)), dtype=np.float32)
        known = set(index.vocab_dict)
        for row, query in enumerate(queries):
            asked = [word for word in terms(query) if word in known]
            if asked:
                found[row] = index.get_scores(asked)
        return torch.from_numpy(found)

    def _texts(self, pages: Pages, block: range) -> list[str]:
        if pages.text is not None:
            return [pages.text(page) for page in block]
        key = key_of([self.reader.version, pages.fingerprint])
        return self.cache.texts(
            "ocr", key, block.start, lambda: [self.reader.read(pages.image(page)) for page in block]
        )

    @cached_property
    def reader(self) -> Ocr:
        return Ocr()
