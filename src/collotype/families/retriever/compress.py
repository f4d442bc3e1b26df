"""Measures the quality of smaller pages and queries: pages cut, pooled and stored in several ways, and searched by
the model and its students."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import median

from collotype.families.retriever.benchmarks import RetrievalBenchmark
from collotype.families.retriever.cache import Cache
from collotype.families.retriever.compact import Stored
from collotype.families.retriever.evaluate import VectorSearch, evaluate
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.token_pooling import Pooling
from collotype.runtime.errors import UserError

WARM_UP, TIMED_QUERIES = 3, 30
Encode = Callable[[Sequence[str]], object]


@dataclass(frozen=True, kw_only=True)
class Compressed:
    """One dataset searched in one form (`method` None and factor 1: pages that are not pooled)."""

    dataset: str
    model: str
    """`Retriever.page_digest`: whose pages they are."""
    queries: str
    """Who reads the queries; empty: the model itself."""
    dim: int
    method: str | None
    factor: int
    stored: Stored
    vectors_per_page: float
    """The mean over the suite's pages."""
    bytes_per_page: float
    query_cpu_ms: float
    """CPU time to encode a query alone, the median."""
    metrics: dict[str, float]
    headline: str
    difference: float
    """Of the headline metric, from the whole model: the first row of the dataset."""
    pareto: bool = False
    """No other form is at least as good in quality, bytes and CPU time, and better in one of them."""

    @property
    def quality(self) -> float:
        return self.metrics[self.headline]


def compress(
    model: Retriever,
    benchmarks: Sequence[RetrievalBenchmark],
    poolings: Sequence[Pooling],
    cache: Cache | None = None,
    dims: Sequence[int] = (),
    stored: Sequence[Stored] = ("fp16",),
    students: Sequence[tuple[str, Retriever]] = (),
    encode_of: Callable[[str, Retriever], Encode] | None = None,
) -> list[Compressed]:
    """By dataset: the whole model first, then every other form.

    Args:
        cache: keeps the embeddings; without one each form encodes the pages again.
        dims: beside all of a vector's.
        students: who read queries in the model's place, by name.
        encode_of: what encodes the queries of a student where they are timed; None: the model.

    Raises:
        UserError: the model has a single vector a page and is to be pooled; a student is another model's.
    """
    require_compressible(model, poolings, students)
    search, rows, before = VectorSearch(model, cache), list[Compressed](), dict[str, float]()
    texts = [text for one in benchmarks for text in one.queries.values()]
    for name, reader in (("", model), *students):
        # one search for all forms of a reader: each would take a digest of every weight
        search.read_queries_by(reader)
        short = [text for text in texts if not reader.processor.is_too_long(text)]
        cpu_ms = query_cpu_ms(encode_of(name, reader) if name and encode_of else reader.encode_queries, short)
        for dim, pooling, kept in product(forms(model.width, dims), (None, *poolings), stored or ("fp16",)):
            search.dim, search.pooling, search.stored, search.vectors_per_page = dim, pooling, kept, []
            for one in evaluate(search, benchmarks, device=model.device):
                count = sum(search.vectors_per_page) / len(search.vectors_per_page)
                value = one.metrics[one.headline]
                rows.append(
                    Compressed(
                        dataset=one.dataset,
                        model=model.page_digest,
                        queries=name,
                        dim=dim,
                        method=pooling.method if pooling else None,
                        factor=pooling.factor if pooling else 1,
                        stored=kept,
                        vectors_per_page=count,
                        bytes_per_page=count * bytes_per_vector(kept, dim),
                        query_cpu_ms=cpu_ms,
                        metrics=one.metrics,
                        headline=one.headline,
                        difference=value - before.setdefault(one.dataset, value),
                    )
                )
    return [row for dataset in before for row in marked([one for one in rows if one.dataset == dataset])]


def require_compressible(
    model: Retriever, poolings: Sequence[Pooling], students: Sequence[tuple[str, Retriever]]
) -> None:
    """
    Raises:
        UserError: the model's vectors are sparse; it has a single vector a page and is to be pooled; a student is
            another model's.
    """
    if model.config.interaction == "sparse":
        raise UserError(
            "compress does not support sparse models; `collotype evaluate` reports the size of their vectors."
        )
    if model.config.interaction == "single" and any(pooling.factor > 1 for pooling in poolings):
        raise UserError(
            "This model has a single vector per page, so there is nothing to pool; give a late-interaction model."
        )
    for name, student in students:
        if student.page_digest != model.page_digest:
            raise UserError(
                f"The student {name} was distilled from another model ({student.page_digest[:12]}) than this one "
                f"({model.page_digest[:12]}); give a student of this model."
            )


def forms(width: int, dims: Sequence[int]) -> list[int]:
    """All of a vector's numbers first."""
    return list(dict.fromkeys([width, *sorted(dims, reverse=True)]))


def bytes_per_vector(stored: Stored, dim: int) -> int:
    """As an index keeps it; sign bits in whole words of 64."""
    return {"fp16": 2 * dim, "int8": dim, "bits": -(-dim // 64) * 8}[stored]


def query_cpu_ms(encode: Encode, texts: Sequence[str]) -> float:
    spent = [0.0] if not texts else []
    for text in texts[: WARM_UP + TIMED_QUERIES]:
        started = time.process_time()
        encode([text])
        spent.append((time.process_time() - started) * 1000)
    return round(median(spent[WARM_UP:] or spent), 3)


def marked(rows: Sequence[Compressed]) -> list[Compressed]:
    """With the Pareto points marked."""

    def worse(row: Compressed, other: Compressed) -> bool:
        one, two = ((-each.quality, each.bytes_per_page, each.query_cpu_ms) for each in (row, other))
        return one != two and all(mine >= theirs for mine, theirs in zip(one, two, strict=True))

    return [replace(row, pareto=not any(worse(row, other) for other in rows)) for row in rows]
