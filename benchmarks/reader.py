"""The reader beside BM25: an outline's titles and the pages they lead to; pages a second, time of a query.

python benchmarks/reader.py                  the four decks of slides that come with the package
python benchmarks/reader.py --pdf FILE       any PDF with an outline and a text layer

CPU time of the whole process and its workers, so a busy machine changes little.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from collotype.evaluation.ranking import mean_metrics, query_metrics
from collotype.families.retriever.benchmarks import RetrievalBenchmark
from collotype.families.retriever.benchmarks.benchmark import Pages
from collotype.families.retriever.benchmarks.slides import slide_benchmarks
from collotype.families.retriever.bm25 import Bm25
from collotype.families.retriever.data.slides import FOLDER
from collotype.families.retriever.evaluate import retrieve
from collotype.runtime import pdf
from collotype.search.encoders import open_encoder
from collotype.search.index import Index
from collotype.search.ingest import ingest
from collotype.search.pages import Encoder

MIN_CHARS = 3
TOP = 10
DECK = "packaging-tutorial.{}.pdf"


def manual(path: Path) -> RetrievalBenchmark:
    """Titles of the outline as queries; the pages that entries of the title lead to are right."""
    right: dict[str, set[int]] = defaultdict(set)
    for _, title, page in pdf.outline(path):
        if len(query := " ".join(title.split())) >= MIN_CHARS:
            right[query].add(page)
    pages = Pages(
        [str(page + 1) for page in range(pdf.num_pages(path))],
        image=lambda place: pdf.render(path, place + 1, 1024),
        size=lambda place: pdf.rendered_size(path, place + 1, 1024),
        fingerprint=str(path),
        text=lambda place: pdf.text(path, place + 1),
    )
    qrels = {title: {str(page): 1 for page in found} for title, found in right.items()}
    return RetrievalBenchmark(f"pdf/{path.stem}", {title: title for title in right}, pages, qrels)


def through(index: Index, encoder: Encoder, benchmark: RetrievalBenchmark, file: Path) -> dict[str, float]:
    """The metrics of a benchmark whose pages are those of one document of the index."""
    ids, measured = benchmark.pages.ids, []
    for query, encoded in zip(benchmark.queries, encoder.encode_queries([*benchmark.queries.values()]), strict=True):
        hits = index.search(encoded, TOP, documents=[file.name])
        measured.append(query_metrics(benchmark.qrels[query], {ids[hit.page - 1]: hit.score for hit in hits}))
    return mean_metrics(measured)


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(of.ru_utime + of.ru_stime for of in used)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pdf", type=Path)
    parser.add_argument("--model", default="reader", help="reader-english or reader-multilingual")
    options = parser.parse_args()
    path = options.pdf
    source = path or FOLDER
    benchmarks = [manual(path)] if path else [one for one in slide_benchmarks() if one.name == "slides/titles"]
    queries = [query for one in benchmarks for query in one.queries.values()][:100]
    reader = open_encoder(options.model)
    with tempfile.TemporaryDirectory() as folder:
        made_by = {"encoder_name": reader.name, "identity": reader.identity, "dim": reader.dim}
        index = Index.create(Path(folder, "index"), **made_by, interaction=reader.interaction)
        before, started = cpu_s(), time.perf_counter()
        report = ingest([source], index, reader)
        spent, elapsed = cpu_s() - before, time.perf_counter() - started
        times = []
        for query in queries:
            at = time.process_time()
            index.search(reader.encode_queries([query])[0], 10)
            times.append(1000 * (time.process_time() - at))
        found = [through(index, reader, one, path or FOLDER / DECK.format(one.subset)) for one in benchmarks]
    bm25 = [one.metrics for one in retrieve(Bm25(), benchmarks)]
    ndcg = {name: mean_metrics(of)["ndcg_at_5"] for name, of in (("reader", found), ("bm25", bm25))}
    of = f"{source.stem}: {report.added} pages, {sum(len(one.queries) for one in benchmarks)} titles"
    p95 = sorted(times)[int(0.95 * len(times))]
    rows = [
        (f"reader, nDCG@5 of titles ({of})", ndcg["reader"], "", "BM25", ndcg["bm25"]),
        ("reader, pages indexed a CPU second", report.added / spent, "", "by the clock", report.added / elapsed),
        ("reader, CPU time of a query, median", statistics.median(times), "ms", "95th percentile", p95),
    ]
    names = ("what", "ours", "unit", "against", "reference")
    print(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))


if __name__ == "__main__":
    main()
