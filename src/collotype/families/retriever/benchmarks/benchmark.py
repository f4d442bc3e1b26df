"""A retrieval benchmark: pages, queries, judgements."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from collotype.evaluation.ranking import Qrels


@dataclass(frozen=True)
class Benchmark:
    """Pages to search, queries, and which pages answer which query."""

    name: str
    queries: dict[str, str]
    num_pages: int
    page: Callable[[int], Image.Image]
    qrels: Qrels
    fingerprint: str
