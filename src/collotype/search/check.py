"""Measures the cost of approximate search: each plan, int8 and token pooling against exact scoring."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from collotype.families.retriever.config import BYTES_PER_WEIGHT
from collotype.runtime.errors import UserError
from collotype.search.index import Index
from collotype.search.pages import EncodedQuery
from collotype.search.quantization import in_float32, pack_vectors, sign_bytes
from collotype.search.scoring import exact, inverted
from collotype.search.scoring.plan import PLANS, named
from collotype.search.snapshot import IndexSnapshot

SAMPLED_PAGES = 300
"""On which other ways of storing are tried: pooling a page of 1,030 vectors takes 40 ms."""
POOL_FACTORS = (2, 3)
WORDS, LIKENESS, SPARSE_WORDS = 20, 0.8, 4
"""A sampled query: how many vectors of a page, and how much each still resembles itself; how many tokens of one."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of searching or storing."""

    name: str
    pages: int
    """Searched: all of the index, or a sample."""
    recall: float
    """The part of the exact k best that are found; of equal scores any counts."""
    cpu_ms_p50: float | None
    cpu_ms_p95: float | None
    bytes_per_page: float
    """Vectors, and what is read beside them to find pages."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    k: int
    queries: int
    source: str
    """Where the queries came from."""
    pages: int
    ways: tuple[Way, ...]


def measure(index: Index, queries: Sequence[EncodedQuery] | None = None, k: int = 10, count: int = 30) -> Checked:
    """Recall, CPU time and bytes of each plan the index has the files for, and of other ways of storing its vectors.

    Args:
        queries: such as are asked; without them, `count` are made of vectors of the index's own pages.

    Raises:
        UserError: the index has no page with vectors.
    """
    view = index.view()
    full = np.flatnonzero(view.version.catalogue.counts > 0)
    if not len(full):
        raise UserError(f"The index in {index.folder} has no pages with vectors, so there is nothing to check.")
    source = "given" if queries else "made of the index's own pages"
    make = sampled_tokens if index.manifest.is_sparse else sampled
    asked = queries or make(view, full, count)
    return Checked(
        k=k,
        queries=len(asked),
        source=source,
        pages=len(full),
        ways=(
            *plans(view, full, asked, k),
            *(() if index.manifest.is_sparse else storages(index, view, full, asked, k)),
        ),
    )


def sampled(view: IndexSnapshot, full: np.ndarray, count: int) -> list[EncodedQuery]:
    """Queries of up to WORDS vectors that each resemble vectors of one page."""
    random, found = np.random.default_rng(0), []
    for place in random.choice(full, count, replace=len(full) < count):
        page = page_vectors(view, place)
        rows = page[random.permutation(len(page))[:WORDS]]
        noise = random.standard_normal(rows.shape).astype(np.float32)
        noise *= np.linalg.norm(rows) / np.linalg.norm(noise) * np.sqrt(1 / LIKENESS**2 - 1)
        found.append(EncodedQuery((rows + noise) * LIKENESS, (), ()))
    return found


def sampled_tokens(view: IndexSnapshot, full: np.ndarray, count: int) -> list[EncodedQuery]:
    """Queries of up to SPARSE_WORDS tokens of one page each."""
    random, found = np.random.default_rng(0), []
    for place in random.choice(full, count, replace=len(full) < count):
        tokens = random.permutation(np.asarray(view.details(np.array([place]))[0].token_ids))[:SPARSE_WORDS]
        found.append(EncodedQuery(np.ones((len(tokens), 1), np.float32), (), (), tokens))
    return found


def plans(view: IndexSnapshot, full: np.ndarray, queries: Sequence[EncodedQuery], k: int) -> list[Way]:
    catalogue = view.version.catalogue
    allowed = catalogue.counts > 0
    ways, truth = [], []
    for name in view.plans:
        seconds, recalls = [], []
        for number, query in enumerate(queries):
            started = time.process_time()
            plan = named(name, k) if name in PLANS else None
            places, scores, _ = view.search(query, allowed, k, plan, by_document=False)
            seconds.append(time.process_time() - started)
            if name == view.plans[0]:
                truth.append(dict(zip(places.tolist(), scores.tolist(), strict=True)))
            recalls.append(recall(np.array([truth[number][place] for place in places[:k].tolist()]), truth[number], k))
        median, late = np.percentile(seconds, [50, 95]) * 1000
        size = bytes_per_page(view, full, name)
        ways.append(
            Way(
                name=f"plan {name}",
                pages=len(full),
                recall=float(np.mean(recalls)),
                cpu_ms_p50=float(median),
                cpu_ms_p95=float(late),
                bytes_per_page=size,
            )
        )
    return ways


def recall(found: np.ndarray, truth: dict[int, float], k: int) -> float:
    """The part of the k best that were found, by the exact scores of what was."""
    best = np.sort(np.fromiter(truth.values(), float))[::-1][:k]
    # a sparse page without one of a query's tokens is not found at all
    return float((found >= best[-1]).sum() / len(best)) if len(best) else 1.0


def bytes_per_page(view: IndexSnapshot, full: np.ndarray, plan: str) -> float:
    rows = view.version.take(full[:1], ["vectors"])["vectors"].type.value_type
    vectors = view.version.catalogue.counts[full].mean()
    if plan == inverted.KIND:
        # the table has the tokens and weights once more, for the places of a hit's words
        return float(2 * BYTES_PER_WEIGHT * vectors)
    size = vectors * rows.list_size * rows.value_type.bit_width / 8
    if plan != "exact":
        size += vectors * sign_bytes(rows.list_size)
    if plan == "lists" and view.lists:
        size += sum(view.lists.arrays[name].nbytes for name in ("codes", "pages")) / len(full)
    return float(size)


def storages(index: Index, view: IndexSnapshot, full: np.ndarray, asked: Sequence[EncodedQuery], k: int) -> list[Way]:
    """Exact search over a sample of the pages, stored otherwise."""
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    queries = [query.vectors for query in asked]
    if index.manifest.precision == "fp16":
        ways["stored in int8"] = in_int8
    if index.manifest.interaction == "late" and index.manifest.pool_factor == 1:
        for factor in POOL_FACTORS:
            ways[f"{factor} vectors pooled to one"] = partial(pooled, factor=factor)
    places = np.random.default_rng(0).permutation(full)[:SAMPLED_PAGES]
    pages = [page_vectors(view, place) for place in places]
    truth = all_scores(pages, queries)
    width = index.manifest.dim
    return [
        Way(
            name=name,
            pages=len(places),
            recall=float(np.mean([overlap(*pair, k) for pair in zip(all_scores(other, queries), truth, strict=True)])),
            cpu_ms_p50=None,
            cpu_ms_p95=None,
            bytes_per_page=float(np.mean([len(rows) for rows in other]) * width * (1 if way is in_int8 else 2)),
        )
        for name, way in ways.items()
        if (other := [way(rows) for rows in pages])
    ]


def page_vectors(view: IndexSnapshot, place: int) -> np.ndarray:
    [(vectors, scale)] = view.pages(np.array([place]))
    return in_float32(vectors) * scale


def in_int8(rows: np.ndarray) -> np.ndarray:
    packed, scale = pack_vectors(rows, "int8")
    return packed.astype(np.float32) * scale


def pooled(rows: np.ndarray, factor: int) -> np.ndarray:
    import torch

    from collotype.families.retriever.token_pooling import pool_tokens

    return pool_tokens(torch.from_numpy(rows), factor, "fast").numpy()


def all_scores(pages: Sequence[np.ndarray], queries: Sequence[np.ndarray]) -> np.ndarray:
    """float32 [queries, pages]."""
    return exact.scores(queries, [(rows, 1.0) for rows in pages])


def overlap(found: np.ndarray, truth: np.ndarray, k: int) -> float:
    """The part of the k best by `truth` that `found` puts first."""
    first = np.argsort(-found, kind="stable")[:k]
    return recall(truth[first], dict(enumerate(truth.tolist())), k)
