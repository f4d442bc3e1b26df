"""Words, pictures and both: nDCG@5 of an outline's titles, CPU time of a query, bytes of an index.

python benchmarks/hybrid.py --model runs/desk-slides/model      the four decks of slides that come with the package
python benchmarks/hybrid.py --model MODEL --pdf FILE            any PDF with an outline and a text layer

The weights of "calibrated" were fitted on the other queries of the set (five folds).
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from collotype.families.retriever.benchmarks import RetrievalBenchmark
from collotype.families.retriever.benchmarks.slides import slide_benchmarks
from collotype.families.retriever.data.slides import FOLDER
from collotype.search import judged, quality
from collotype.search.encoders import open_encoder
from collotype.search.hybrid import fitting, fusion, parts
from collotype.search.hybrid.library import HybridLibrary
from collotype.search.index import Index
from collotype.search.ingest import ingest
from collotype.search.ingest.worker import image_of
from collotype.search.judged import JudgedQuery
from collotype.search.library import EmbeddedLibrary
from collotype.search.pages import Encoder
from reader import DECK, manual

K = 10


def indexed(folder: Path, encoder: Encoder, source: Path) -> EmbeddedLibrary:
    made_by = {"encoder_name": encoder.name, "identity": encoder.identity, "dim": encoder.dim}
    index = Index.create(folder, **made_by, interaction=encoder.interaction)
    ingest([source], index, encoder)
    index.optimize()
    return EmbeddedLibrary(index, encoder, image_of)


def examples(library: HybridLibrary, benchmark: RetrievalBenchmark, document: str) -> list[fitting.Example]:
    """A benchmark's queries, and what each part found in the one document that they are about."""
    ids = {name: place + 1 for place, name in enumerate(benchmark.pages.ids)}
    found = []
    for key, text in benchmark.queries.items():
        query = JudgedQuery(text, frozenset((document, ids[page]) for page in benchmark.qrels[key]))
        found.append(fitting.Example(query, library.rankings(text, library.asked(text), K, [document])[0]))
    return found


def answers(sets: dict[str, list[fitting.Example]], usual: fusion.Weights) -> dict[str, dict[str, float]]:
    """nDCG@5 by set and way of searching."""
    found: dict[str, dict[str, float]] = {}
    for name, of in sets.items():
        ways = {
            part: [one.pages_of(part) for one in of]
            for part in dict.fromkeys(ranking.name for one in of for ranking in one.rankings)
        }
        ways["reciprocal ranks"] = [quality.ordered(one, usual) for one in of]
        ways["calibrated, held out"] = fitting.held_out(of)
        found[name] = {
            way: float(np.mean([judged.ndcg(one.query, pages, {}) for one, pages in zip(of, ranked, strict=True)]))
            for way, ranked in ways.items()
        }
    return found


def cpu_ms(library: EmbeddedLibrary, queries: Sequence[str]) -> float:
    """Median CPU time of a query that was not asked before."""
    times = []
    for query in queries:
        library.encoded.cache_clear()
        at = time.process_time()
        library.search(query, K)
        times.append(1000 * (time.process_time() - at))
    return statistics.median(times)


def size(folder: Path, but: Path | None = None) -> int:
    files = (file for file in folder.rglob("*") if file.is_file() and not (but and file.is_relative_to(but)))
    return sum(file.stat().st_size for file in files)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--pdf", type=Path)
    options = parser.parse_args()
    source = options.pdf or FOLDER
    benchmarks = [manual(options.pdf)] if options.pdf else slide_benchmarks()
    encoders = [open_encoder(options.model)] if options.model else []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "index")
        folders = [folder, folder / "also" / "1"]
        libraries = [
            indexed(place, encoder, source)
            for place, encoder in zip(folders, [*encoders, open_encoder("reader")], strict=False)
        ]
        before = sum(size(place, but=folder / "also") for place in folders[:1]) + size(folder / "also")
        parts.write(folder, [])
        words = libraries[parts.with_words([one.model for one in libraries])]
        words.index.count_words()
        own = libraries[0]
        both = HybridLibrary(own.index, own.model, image_of, libraries[1:], None)
        sets: dict[str, list[fitting.Example]] = {}
        for one in benchmarks:
            document = (options.pdf or FOLDER / DECK.format(one.subset)).name
            sets.setdefault(one.name, []).extend(examples(both, one, document))
        queries = [example.query.text for of in sets.values() for example in of][:60]
        cost = {one.model.name: cpu_ms(EmbeddedLibrary(one.index, one.model, image_of), queries) for one in libraries}
        found = {
            "ndcg_at_5": answers(sets, both.usual),
            "queries": {name: len(of) for name, of in sets.items()},
            "cpu_ms": {**cost, "hybrid": cpu_ms(both, queries)},
            "bytes": {"parts": before, "hybrid": size(folder)},
        }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
