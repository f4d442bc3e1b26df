"""Evaluates retrieval: encode, score all pairs, rank, measure, and illustrate a few queries."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from collotype.evaluation.ranking import chance_metrics, mean_metrics, query_metrics, rank
from collotype.evaluation.results import GalleryWriter, Measured, Picture
from collotype.families.retriever.batches import BATCH_TOKENS
from collotype.families.retriever.benchmarks import RetrievalBenchmark, averaged_names
from collotype.families.retriever.benchmarks.benchmark import Event, Pages, differing_sizes, event, sizes_of
from collotype.families.retriever.cache import Cache, key_of
from collotype.families.retriever.compact import Stored, cut, require_trained, rounded
from collotype.families.retriever.config import require_dim
from collotype.families.retriever.heatmap import similarity_map
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.query_reader import MAX_TEXT_TOKENS
from collotype.families.retriever.recipe import RetrieverEvaluate
from collotype.families.retriever.token_pooling import Pooling
from collotype.report.heatmap import enlarge, light_up
from collotype.runtime.device import computed_on, peak_memory, reset_peak_memory
from collotype.runtime.errors import UserError
from collotype.runtime.images import digest
from collotype.runtime.process import gathered, on_main, over_blocks
from collotype.runtime.world import ALONE, World

SHOWN_QUERIES, SHOWN_PAGES = 4, 3
LATE_LEGEND = (
    "Left the page, then the same page lit where each word of the query matched; the frame is its best patch. (MaxSim "
    "may also use a vector of the page's prompt, which belongs to no region.) A green frame marks a relevant page."
)
SINGLE_LEGEND = "A single vector tells which page matches, but not where on it. A green frame marks a relevant page."


class Searcher(Protocol):
    """What can be evaluated: a retriever, or a baseline."""

    digest: str
    """Of everything that decides its scores."""

    def facts(self) -> Mapping[str, Any]:
        """What a result file says of it."""

    def looks_at(self, pages: Pages) -> str:
        """What of a page it searches."""

    def events(self, queries: Sequence[str]) -> tuple[Event, ...]:
        """What it did to queries that a reader of its results should know."""

    def scores(self, queries: Sequence[str], pages: Pages, world: World) -> Tensor:
        """float32 [num_queries, num_pages], the same on every process."""


class VectorSearch:
    """A retriever's own search: every page against every query.

    Pages are encoded, scored and let go a block at a time, so memory does not grow with their number.
    """

    def __init__(
        self,
        model: Retriever,
        cache: Cache | None = None,
        batch_tokens: int = BATCH_TOKENS,
        pooling: Pooling | None = None,
        dim: int | None = None,
        looks_at: Literal["image", "text", "both"] = "image",
    ):
        self.model, self.cache, self.batch_tokens = model, cache or Cache(), batch_tokens
        self.pooling, self.dim, self.sees = pooling, dim, looks_at
        if looks_at == "both" and model.config.interaction == "single":
            raise UserError(
                "looks_at is both, which joins the vectors of a page's image and text, but this model has a single "
                "vector per page; choose image or text."
            )
        self.texts_cut = 0
        self.stored: Stored = "fp16"
        self.digest = model.digest()
        self.read_queries_by(model, self.digest)
        self.vectors_per_page: list[int] = []
        """Of the pages this process has searched, pooled; of sparse ones how many words a page has."""

    def read_queries_by(self, reader: Retriever, digest: str | None = None) -> None:
        """A student may read them in the model's place."""
        self.reader, self.reader_digest = reader, digest or reader.digest()

    @classmethod
    def of(
        cls,
        model: Retriever,
        choice: RetrieverEvaluate,
        cache: Cache | None = None,
        batch_tokens: int = BATCH_TOKENS,
        name: str = "the model",
    ) -> "VectorSearch":
        """In the form that an evaluation asks for.

        Raises:
            UserError: the model was not trained for it.
        """
        if not choice.untrained:
            require_trained(model.config.compact, model.width, choice.dim, choice.pool_factor, name)
        require_dim(choice.dim, model.width, name)
        pooling = Pooling(factor=choice.pool_factor, method="fast") if choice.pool_factor > 1 else None
        return cls(model, cache, batch_tokens, pooling, choice.dim, choice.looks_at)

    def facts(self) -> dict[str, Any]:
        config, pooling = self.model.config, self.pooling and asdict(self.pooling)
        facts: dict[str, Any] = {
            "backbone": config.backbone,
            "interaction": config.interaction,
            "preset": asdict(config.preset),
        }
        facts |= {"parameters": sum(one.numel() for one in self.model.parameters()), "width": self.model.width}
        held: dict[str, Any] = {"dtype": self.model.held_in} if self.model.held_in else {}
        if config.interaction == "sparse" and self.vectors_per_page:
            held["words_per_page"] = sum(self.vectors_per_page) / len(self.vectors_per_page)
        return facts | held | ({"pooling": pooling} if pooling else {}) | ({"dim": self.dim} if self.dim else {})

    def looks_at(self, pages: Pages) -> str:
        text = f"{pages.text_from} (embedded as a query)"
        return {"image": "the page's image", "text": text, "both": f"the page's image and {text}"}[self.sees]

    def events(self, queries: Sequence[str]) -> tuple[Event, ...]:
        processor = self.model.processor
        long = [text for text in queries if processor.is_too_long(text)]
        cut = event("queries cut", len(long), f"longer than {processor.max_query_tokens} tokens")
        texts = event("page texts cut", self.texts_cut, f"longer than {MAX_TEXT_TOKENS} tokens")
        lacking = [name for name, here in self.model.row.kernels().items() if not here]
        without = f"{' and '.join(lacking)} not installed: transformers' torch code was used instead"
        return (*self.model.events, *event("optional kernels", len(lacking), without), *cut, *texts)

    def scores(self, queries: Sequence[str], pages: Pages, world: World) -> Tensor:
        model, device = self.model, computed_on(self.model.device) + self.model.held_in
        query_key = key_of([self.reader_digest, device, list(queries)])
        page_key = key_of([model.page_digest, device, pages.fingerprint])
        texts = [] if self.sees == "image" else self.texts(pages)
        text_key = key_of([model.page_digest, device, texts])

        def encoded_queries(block: range) -> list[Tensor]:
            own = [queries[place] for place in block]
            make = lambda: self.reader.encode_queries(own, self.batch_tokens, cut=True)  # noqa: E731
            return [cut(one, self.dim) for one in self.cache.vectors("queries", query_key, block.start, make)]

        vectors = [*chain.from_iterable(over_blocks(len(queries), world, encoded_queries))]

        def of_images(block: range) -> list[Tensor]:
            sizes = [pages.size(page) for page in block]
            make = lambda: model.encode_pages_from(sizes, lambda k: pages.image(block[k]), self.batch_tokens)  # noqa: E731
            found = self.cache.vectors("pages", page_key, block.start, make)
            require_different(found, block, pages)
            return found

        def of_texts(block: range) -> list[Tensor]:
            make = lambda: model.encode_texts([texts[page] for page in block], self.batch_tokens)  # noqa: E731
            return self.cache.vectors("texts", text_key, block.start, make)

        seen = {"image": [of_images], "text": [of_texts], "both": [of_texts, of_images]}[self.sees]

        def scores_of(block: range) -> Tensor:
            found = [torch.cat(parts) for parts in zip(*(encode(block) for encode in seen), strict=True)]
            found = [cut(one, self.dim) for one in found]
            found = self.pooling(found) if self.pooling else found
            found = [rounded(one, self.stored) for one in found]
            sparse = model.config.interaction == "sparse"
            self.vectors_per_page += (int(one.count_nonzero()) if sparse else len(one) for one in found)
            return model.score(vectors, found)

        return torch.cat(over_blocks(len(pages), world, scores_of), dim=1)

    def texts(self, pages: Pages) -> list[str]:
        """
        Raises:
            UserError: the pages have none.
        """
        if pages.text is None:
            raise UserError(
                f"looks_at is {self.sees}, but the pages have no text; choose image, or a suite whose pages have text "
                "(vidore-v3.1, or a table with a column text or markdown)."
            )
        texts = [pages.text(page) for page in range(len(pages))]
        self.texts_cut = sum(self.model.processor.is_too_long(text, MAX_TEXT_TOKENS) for text in texts)
        return texts


def require_different(vectors: Sequence[Tensor], block: range, pages: Pages) -> None:
    """
    Raises:
        UserError: most of these pages share their embedding with another, and their images are not the same.
    """
    first: dict[bytes, int] = {}
    alike = {place: first.setdefault(digest_of(found), place) for place, found in zip(block, vectors, strict=True)}
    if len(first) * 2 > len(block) or len(block) < 2 or not all(found.isfinite().all() for found in vectors):
        # what is not a number is named by its score
        return
    shown = {place: digest(pages.image(place)) for place in block}
    if len(first) * 2 <= len(set(shown.values())):
        one, other = next((one, other) for other, one in alike.items() if shown[one] != shown[other])
        raise UserError(
            f"{len(block)} pages have only {len(first)} different embeddings ({pages.ids[one]} and {pages.ids[other]} "
            "have the same one), so the model ignores the images; its weights are damaged (for example a layer of "
            "zeros): load another copy."
        )


def digest_of(vectors: Tensor) -> bytes:
    return blake2b(f"{tuple(vectors.shape)}".encode() + vectors.contiguous().numpy().tobytes(), digest_size=16).digest()


@dataclass(frozen=True)
class Retrieval:
    """One benchmark, searched."""

    benchmark: RetrievalBenchmark
    scores: Tensor
    """float32 [num_queries, num_pages]."""
    by_query: dict[str, dict[str, float]]
    """Each query's metrics."""

    @property
    def metrics(self) -> dict[str, float]:
        return mean_metrics(list(self.by_query.values()))

    def of_query(self, query: str) -> dict[str, float]:
        """A query's scores by page id."""
        place = list(self.benchmark.queries).index(query)
        return self.benchmark.page_scores(self.scores[place].tolist())


def retrieve(searcher: Searcher, benchmarks: Sequence[RetrievalBenchmark], world: World = ALONE) -> list[Retrieval]:
    """The benchmarks searched and measured; those over the same pages are searched together."""
    by_pages: dict[str, list[RetrievalBenchmark]] = {}
    for benchmark in benchmarks:
        by_pages.setdefault(benchmark.pages.fingerprint, []).append(benchmark)
    found: dict[int, Retrieval] = {}
    for sharing in by_pages.values():
        queries = [text for benchmark in sharing for text in benchmark.queries.values()]
        together = searcher.scores(queries, sharing[0].pages, world)
        parts = together.split([len(benchmark.queries) for benchmark in sharing])
        found |= {id(of): measured_scores(of, scores) for of, scores in zip(sharing, parts, strict=True)}
    return [found[id(benchmark)] for benchmark in benchmarks]


def measured_scores(benchmark: RetrievalBenchmark, scores: Tensor) -> Retrieval:
    """
    Raises:
        UserError: a score is not a number.
    """
    if scores.isnan().any():
        query, page = (int(place) for place in scores.isnan().nonzero()[0])
        raise UserError(
            f"{benchmark.name}: the score of the query {list(benchmark.queries.values())[query]!r} and page "
            f"{benchmark.pages.ids[page]} is not finite; the model's weights are damaged."
        )
    by_query = {
        query: query_metrics(benchmark.qrels[query], benchmark.page_scores(row.tolist()))
        for query, row in zip(benchmark.queries, scores, strict=True)
    }
    return Retrieval(benchmark, scores, by_query)


def evaluate(
    searcher: Searcher,
    benchmarks: Sequence[RetrievalBenchmark],
    examples_to: Path | None = None,
    world: World = ALONE,
    device: torch.device | None = None,
) -> list[Measured]:
    """Each dataset measured (the mean of its language subsets), then the mean over a published suite that is whole.

    Args:
        examples_to: a folder for examples of the first dataset, of a retriever.
        world: the processes that share the work; all of them call this, and all get the result.
    """
    device, measured = device or torch.device("cpu"), list[Measured]()
    for name, group in groupby(benchmarks, key=lambda benchmark: benchmark.name):
        subsets = list(group)
        reset_peak_memory(device)
        started = time.perf_counter()
        found = retrieve(searcher, subsets, world)
        seconds = round(time.perf_counter() - started, 2)
        peaks = gathered(round(peak_memory(device) / 2**20, 1), world)
        if not measured and isinstance(searcher, VectorSearch) and searcher.sees != "text":
            on_main(world, partial(illustrate, searcher.model, found[0], examples_to))
        facts = {
            "model": {"sha256": searcher.digest, **searcher.facts()},
            "looks_at": searcher.looks_at(subsets[0].pages),
            "counting": subsets[0].counting,
            "chance": mean_metrics([chance_of(one) for one in subsets]),
            "data": {one.subset: sizes_of(one) for one in subsets},
            "timing": {"total_s": seconds, "processes": world.size},
            "peak_memory_mib": peaks,
            "events": [happened for one in subsets for happened in events_of(one, searcher)],
        }
        by_subset = {retrieval.benchmark.subset: retrieval.metrics for retrieval in found}
        mean = mean_metrics(list(by_subset.values()))
        queries = {retrieval.benchmark.subset: retrieval.by_query for retrieval in found}
        measured.append(Measured(name, mean, subsets[0].headline, by_subset, facts, subsets[0].task, queries))
    return measured + averages(measured)


def chance_of(benchmark: RetrievalBenchmark) -> dict[str, float]:
    """What pages in random order score."""
    pages = set(benchmark.pages.ids)
    return mean_metrics([chance_metrics(benchmark.qrels[query], pages) for query in benchmark.queries])


def events_of(benchmark: RetrievalBenchmark, searcher: Searcher) -> list[Event]:
    of_queries = searcher.events(list(benchmark.queries.values()))
    found = (*benchmark.events, *differing_sizes(benchmark), *of_queries)
    return [one if benchmark.subset == "default" else {"subset": benchmark.subset, **one} for one in found]


def averages(measured: Sequence[Measured]) -> list[Measured]:
    """SUITE/average for every published suite all of whose datasets were measured."""
    found = {one.dataset: one for one in measured}
    suites = dict.fromkeys(name.split("/")[0] for name in found)
    return [
        Measured(f"{suite}/average", mean_metrics([found[name].metrics for name in names]), found[names[0]].headline)
        for suite in suites
        if (names := averaged_names(suite)) and set(names) <= set(found)
    ]


def illustrate(model: Retriever, retrieval: Retrieval, folder: Path | None) -> None:
    """The first queries with their best pages, where there is a folder for them; with late interaction also where each
    word was found."""
    if folder is None:
        return
    benchmark, late = retrieval.benchmark, model.config.interaction == "late"
    writer = GalleryWriter(folder, "Queries and their best pages", LATE_LEGEND if late else SINGLE_LEGEND)
    numbers = {page: number for number, page in reversed(list(enumerate(benchmark.pages.ids)))}
    for query in list(benchmark.queries)[:SHOWN_QUERIES]:
        scores, text = retrieval.of_query(query), benchmark.queries[query]
        ranking = rank(scores)
        best = ranking[: SHOWN_PAGES if late else 2 * SHOWN_PAGES]
        rows: list[list[Picture]] = [] if late else [[]]
        for place, page in enumerate(best, start=1):
            image, right = benchmark.pages.image(numbers[page]), page in benchmark.qrels[query]
            label = f"{place}. {page} · {scores[page]:.2f}"
            picture = writer.image(enlarge(image), label, right)
            if not late:
                rows[0].append(picture)
                continue
            words = model.processor.query_words(text, cut=True)
            looking, grid = model.processor.visual_tokens(image.size)
            vectors, patches = model.encode_queries([text], cut=True)[0], model.encode_pages([image])[0][looking]
            maps = [(word, similarity_map(vectors[place], patches, grid)) for place, word in words]
            rows.append([picture, *(writer.image(light_up(image, found), word) for word, found in maps)])
        first = next((n for n, page in enumerate(ranking, 1) if page in benchmark.qrels[query]), None)
        note = f"{benchmark.name}, {query}: first right page at rank {first} of {benchmark.num_pages}"
        writer.add(f"“{text}”", note, rows)
    writer.write()
