"""Pages and queries for search benchmarks: many pages alike, a few vectors that tell them apart.

A page's vectors lie around 5,000 centres (cosine 0.8): its topic, one of 100, has 200 of them, and it shows 40; 10 to
40 % of its vectors lie around 50 centres that all pages share (blank patches). A query has 20 to 30 vectors: 3 that all
queries share, and the rest around centres of one topic. It has a page of its own among the first 1,000, of that topic,
with two noisy copies (cosine 0.74) of each of the rest. That page is easy to find; the pages around rank ten differ by
a hundredth of their score, so recall@10 is a severe test.

A page is a function of its number alone, so that any number of them can be streamed, and is the same in every run.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from collotype.search.pages import EncodedPage, EncodedQuery, Page

DIM, VECTORS = 128, 1030
CENTRES, TOPICS, PER_TOPIC, PER_PAGE, BLANK = 5000, 100, 200, 40, 50
BLANK_PART = (0.1, 0.4)
NEAR, COPY = 0.8, 0.74
"""Cosines: of a vector to its centre, of a planted copy to the query's vector."""
QUERIES, AMONG, SHARED, COPIES = 100, 1000, 3, 2
DOCUMENT_PAGES = 20


@dataclass(frozen=True)
class World:
    centres: np.ndarray
    topics: np.ndarray
    blank: np.ndarray
    queries: tuple[np.ndarray, ...]
    """float32 [20 to 30, 128] each."""


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def normal(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.standard_normal(shape, dtype=np.float32)


def near(random: np.random.Generator, vectors: np.ndarray, cosine: float) -> np.ndarray:
    """Unit vectors at about this cosine to the given ones."""
    noise = unit(normal(random, *vectors.shape))
    return unit(vectors + noise * np.sqrt(1 / cosine**2 - 1).astype(np.float32))


def world() -> World:
    random = np.random.default_rng(0)
    centres, blank = unit(normal(random, CENTRES, DIM)), unit(normal(random, BLANK, DIM))
    topics = np.stack([random.choice(CENTRES, PER_TOPIC, replace=False) for _ in range(TOPICS)])
    shared = unit(normal(random, SHARED, DIM))
    counts = random.integers(20 - SHARED, 31 - SHARED, QUERIES)
    asked = [
        centres[random.choice(topics[page_random(planted(query))[0]], count)] for query, count in enumerate(counts)
    ]
    own = [near(random, vectors, NEAR) for vectors in asked]
    return World(centres, topics, blank, tuple(np.concatenate([shared, vectors]) for vectors in own))


def planted(query: int) -> int:
    """The number, from 0, of a query's own page."""
    return query * (AMONG // QUERIES)


def page_random(number: int) -> tuple[int, np.random.Generator]:
    """The topic of a page, and what the rest of it is drawn from."""
    random = np.random.default_rng([1, number])
    return int(random.integers(TOPICS)), random


def vectors(of: World, number: int) -> np.ndarray:
    """Of a page by its number from 0, float32 [1030, 128], as exact as fp16 is."""
    topic, random = page_random(number)
    shown = random.choice(of.topics[topic], PER_PAGE, replace=False)
    blanks = int(VECTORS * random.uniform(*BLANK_PART))
    centres = [of.blank[random.integers(BLANK, size=blanks)], of.centres[random.choice(shown, VECTORS - blanks)]]
    found = near(random, np.concatenate(centres), NEAR)
    query, rest = divmod(number, AMONG // QUERIES)
    if rest == 0 and query < QUERIES:
        content = np.repeat(of.queries[query][SHARED:], COPIES, axis=0)
        found[random.choice(VECTORS, len(content), replace=False)] = near(random, content, COPY)
    return found.astype(np.float16).astype(np.float32)


def pages(of: World, count: int) -> Iterator[tuple[Page, EncodedPage]]:
    """The first `count` pages, in documents of 20."""
    for number in range(count):
        document, place = divmod(number, DOCUMENT_PAGES)
        page = Page(
            document=f"{document:05d}.pdf", number=place + 1, digest=str(number), size=(1000, 1400), image=no_image
        )
        yield page, EncodedPage(vectors(of, number), np.full((VECTORS, 4), np.nan, np.float32))


def queries(of: World) -> list[EncodedQuery]:
    return [EncodedQuery(vectors, (), (-1,) * len(vectors)) for vectors in of.queries]


def no_image():
    raise NotImplementedError("a page of the benchmark has vectors only")
