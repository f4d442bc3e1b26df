"""An encoder that needs no model: a word is a direction of its own, wherever it stands."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from collotype.runtime.errors import UserError
from collotype.search.pages import EncodedPage, EncodedQuery, Page

DIM = 64


def vector(word: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(word.lower().encode()).digest()[:8])
    drawn = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return drawn / np.linalg.norm(drawn)


class WordEncoder:
    name, identity, dim, interaction = "the same words", "word-encoder", DIM, "late"
    looks_at = "words"

    def encode_pages(self, pages: Sequence[Page]) -> list[EncodedPage]:
        found = []
        for page in pages:
            vectors = np.array([vector(word.text) for word in page.words], np.float32).reshape(-1, DIM)
            found.append(EncodedPage(vectors, np.array([word.box for word in page.words], np.float32).reshape(-1, 4)))
        return found

    def encode_queries(self, queries: Sequence[str]) -> list[EncodedQuery]:
        if wordless := [query for query in queries if not re.search(r"\w", query)]:
            raise UserError(f"The query {wordless[0]!r} has no word; give it at least one.")
        split = [tuple(re.findall(r"\S+", query)) for query in queries]
        return [
            EncodedQuery(np.array([vector(word) for word in words]), words, tuple(range(len(words)))) for words in split
        ]
