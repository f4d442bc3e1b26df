"""Retrieval on a benchmark: encode, score all pairs, rank, measure; and a few queries to look at."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from collotype.evaluation.ranking import rank, ranking_metrics
from collotype.evaluation.results import ExampleWriter, Picture, Results
from collotype.families.retriever.benchmarks import Benchmark
from collotype.families.retriever.heatmap import enlarge, light_up, similarity_map
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.token_pooling import Pooling

SHOWN_QUERIES, SHOWN_PAGES = 4, 3


@dataclass(frozen=True)
class Retrieval:
    """One benchmark, searched: what came out and what it came from."""

    benchmark: Benchmark
    metrics: dict[str, float]
    run: dict[str, dict[str, float]]
    query_vectors: dict[str, Tensor]
    page_vectors: list[Tensor]


def retrieve(model: Retriever, benchmark: Benchmark, batch_size: int = 32, pooling: Pooling | None = None) -> Retrieval:
    """Metrics of `model` on `benchmark`; `pooling` is applied to the page vectors before they are scored."""
    query_vectors = model.encode_queries(list(benchmark.queries.values()))
    page_vectors = encode_pages(model, benchmark, batch_size)
    return search(model, benchmark, query_vectors, pooling(page_vectors) if pooling else page_vectors)


def encode_pages(model: Retriever, benchmark: Benchmark, batch_size: int = 32) -> list[Tensor]:
    """The vectors of all pages, page images made and dropped `batch_size` at a time."""
    page_vectors: list[Tensor] = []
    for start in range(0, benchmark.num_pages, batch_size):
        images = [benchmark.page(page) for page in range(start, min(start + batch_size, benchmark.num_pages))]
        page_vectors += model.encode_pages(images, batch_size)
    return page_vectors


def search(
    model: Retriever, benchmark: Benchmark, query_vectors: list[Tensor], page_vectors: list[Tensor]
) -> Retrieval:
    """Scores all pairs of the benchmark's queries and pages, and measures the ranking."""
    scores = model.score(query_vectors, page_vectors).tolist()
    run = {
        query: {f"p{page:03d}": score for page, score in enumerate(row)}
        for query, row in zip(benchmark.queries, scores, strict=True)
    }
    metrics, _ = ranking_metrics(benchmark.qrels, run)
    return Retrieval(benchmark, metrics, run, dict(zip(benchmark.queries, query_vectors, strict=True)), page_vectors)


def illustrate(model: Retriever, retrieval: Retrieval, writer: ExampleWriter) -> None:
    """Adds the first queries with their best pages; with late interaction also where each word was found."""
    benchmark, late = retrieval.benchmark, model.config.interaction == "late"
    for query in list(benchmark.queries)[:SHOWN_QUERIES]:
        ranking = rank(retrieval.run[query])
        best = ranking[: SHOWN_PAGES if late else 2 * SHOWN_PAGES]
        rows: list[list[Picture]] = [] if late else [[]]
        for place, page in enumerate(best, start=1):
            number = int(page.removeprefix("p"))
            image, right = benchmark.page(number), page in benchmark.qrels[query]
            label = f"{place}. {page} · {retrieval.run[query][page]:.2f}"
            picture = writer.picture(enlarge(image), label, right)
            if not late:
                rows[0].append(picture)
                continue
            words = model.processor.query_words(benchmark.queries[query])
            looking, grid = model.processor.visual_tokens(image.size)
            vectors, patches = retrieval.query_vectors[query], retrieval.page_vectors[number][looking]
            maps = [(word, similarity_map(vectors[place], patches, grid)) for place, word in words]
            rows.append([picture, *(writer.picture(light_up(image, found), word) for word, found in maps)])
        first = next((n for n, page in enumerate(ranking, 1) if page in benchmark.qrels[query]), None)
        note = f"{benchmark.name}, {query}: first right page at rank {first} of {benchmark.num_pages}"
        writer.add(benchmark.queries[query], note, rows)


def evaluate(model: Retriever, benchmarks: list[Benchmark], examples_to: Path | None = None) -> Results:
    """Metrics by benchmark name; examples of the first benchmark into the folder `examples_to`."""
    found = [retrieve(model, benchmark) for benchmark in benchmarks]
    if examples_to:
        writer = ExampleWriter(examples_to)
        illustrate(model, found[0], writer)
        writer.write()
    return {retrieval.benchmark.name: retrieval.metrics for retrieval in found}
