"""BM25 over the pages' text: the baseline beside every retriever that looks at pages.

The text is the source's own (a PDF's text layer, a text column), or what OCR reads on the picture.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from collotype.families.retriever.benchmarks.benchmark import Event, Pages
from collotype.families.retriever.cache import Cache, key_of
from collotype.runtime.errors import UserError
from collotype.runtime.process import World, over_blocks

K1, B, METHOD = 1.5, 0.75, "lucene"
"""bm25s' defaults."""

# Han, kana and Hangul: written without spaces, or with few
RUN = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]+|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)


def words(text: str) -> list[str]:
    """Case-folded words of any script; runs of Chinese, Japanese and Korean as overlapping pairs of characters.

    Pairs are what Lucene's CJKAnalyzer makes. No stop words and no stemming, which go with one language.
    """
    found: list[str] = []
    for run in RUN.findall(unicodedata.normalize("NFKC", text).casefold()):
        if re.match(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]", run) and len(run) > 1:
            found += [run[place : place + 2] for place in range(len(run) - 1)]
        else:
            found.append(run)
    return found


class Bm25:
    """Searches pages by their words."""

    name = "bm25"

    def __init__(self, cache: Cache | None = None):
        from importlib.metadata import version

        self.cache = cache or Cache()
        self.digest = key_of([METHOD, K1, B, version("bm25s"), RUN.pattern])

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
        documents = [words(text) for text in texts]
        if not any(documents):
            raise UserError(
                f"None of the {len(pages)} pages has any words in {self.looks_at(pages)}, so BM25 finds nothing."
            )
        index = bm25s.BM25(method=METHOD, k1=K1, b=B)
        index.index(documents, show_progress=False)
        found = np.zeros((len(queries), len(pages)), dtype=np.float32)
        known = set(index.vocab_dict)
        for row, query in enumerate(queries):
            asked = [word for word in words(query) if word in known]
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
    def reader(self) -> "Ocr":
        return Ocr()


class Ocr:
    """rapidocr with the models that come in its package.

    Raises:
        UserError: it is not installed.
    """

    def __init__(self) -> None:
        try:
            import rapidocr  # isort: skip
            import onnxruntime
        except ImportError as error:
            raise UserError(
                f"These pages come without text, and reading it off their pictures needs {error.name}; install the "
                "extra with pip install 'collotype[ocr]'."
            ) from error
        from importlib.metadata import version

        self.version = f"rapidocr {version('rapidocr')}, onnxruntime {onnxruntime.__version__}"
        self._make, self._engine = rapidocr.RapidOCR, None

    def read(self, image: object) -> str:
        """The lines on a picture, top to bottom as they were found."""
        if self._engine is None:
            # its default writes a line for every picture
            self._engine = self._make(params={"Global.log_level": "error"})
        found = self._engine(np.asarray(image.convert("RGB"))[:, :, ::-1])
        return "\n".join(found.txts or ())
