"""Words, pictures and both: nDCG@5 of an outline's titles, CPU time of a query, bytes of an index.

python benchmarks/hybrid.py --model runs/desk-slides/model      the four decks of slides that come with the package
python benchmarks/hybrid.py --model MODEL --pdf FILE            any PDF with an outline and a text layer
python benchmarks/hybrid.py --model MODEL --sheets              pages of images without a word

Without a model the reader and BM25 alone; --indexes FOLDER keeps the indexes for the next time. "calibrated" has the
weights that nobody fitted, "fitted" those fitted on the other queries of the set (five folds). "few_judged" is what
weights fitted on so many queries gain on the others: the mean over DRAWS draws, and the worst of them.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from collotype.families.retriever.benchmarks import RetrievalBenchmark
from collotype.families.retriever.benchmarks.sheets import sheet_benchmarks
from collotype.families.retriever.benchmarks.slides import slide_benchmarks
from collotype.families.retriever.data.slides import FOLDER
from collotype.search import judgments, manifest, quality
from collotype.search.encoders import open_encoder
from collotype.search.hybrid import fitting, fusion, parts
from collotype.search.hybrid.library import HybridLibrary
from collotype.search.index import Index
from collotype.search.ingest import ingest
from collotype.search.ingest.worker import image_of
from collotype.search.judgments import JudgedQuery
from collotype.search.library import EmbeddedLibrary
from collotype.search.pages import Encoder
from reader import DECK, manual

K, DRAWS = 10, 20


def indexed(folder: Path, encoder: Encoder, source: Path) -> EmbeddedLibrary:
    """The source's index in a folder, made if it is not there, as the command line makes it."""
    made_by = {"encoder_name": encoder.name, "identity": encoder.identity, "dim": encoder.dim}
    precision = "int8" if encoder.looks_at == "words" else "fp16"
    if not manifest.is_index(folder):
        Index.create(folder, **made_by, interaction=encoder.interaction, precision=precision)
    index = Index.open(folder, encoder)
    ingest([source], index, encoder)
    index.optimize()
    return EmbeddedLibrary(index, encoder, image_of)


def drawn(benchmark: RetrievalBenchmark, folder: Path) -> Path:
    """The pages of a benchmark as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, page in enumerate(benchmark.pages.ids):
        benchmark.pages.image(place).save(folder / f"{page}.png")
    return folder


def examples(library: HybridLibrary, benchmark: RetrievalBenchmark, document: str | None) -> list[fitting.Example]:
    """A benchmark's queries, and what each part found in the one document that they are about, or in all."""
    ids = {name: place + 1 for place, name in enumerate(benchmark.pages.ids)}
    found = []
    for key, text in benchmark.queries.items():
        right = frozenset((document, ids[page]) if document else (f"{page}.png", 1) for page in benchmark.qrels[key])
        rankings, _ = library.rankings(text, library.asked(text), K, [document] if document else [])
        found.append(fitting.Example(JudgedQuery(text, right), rankings))
    return found


def answers(sets: dict[str, list[fitting.Example]], usual: fusion.Weights) -> dict[str, dict[str, float]]:
    """nDCG@5 by set and way of searching."""
    found: dict[str, dict[str, float]] = {}
    for name, of in sets.items():
        ways = {
            part: [one.pages_of(part) for one in of]
            for part in dict.fromkeys(ranking.name for one in of for ranking in one.rankings)
        }
        ways["reciprocal ranks"] = [quality.ordered(one, replace(usual, method=fusion.BY_RANKS)) for one in of]
        ways["calibrated"] = [quality.ordered(one, usual) for one in of]
        ways["fitted, held out"] = fitting.held_out(of, usual)
        found[name] = {
            way: float(np.mean([judgments.ndcg(one.query, pages, {}) for one, pages in zip(of, ranked, strict=True)]))
            for way, ranked in ways.items()
        }
    return found


def few_judged(of: list[fitting.Example], usual: fusion.Weights) -> dict[int, tuple[float, float]]:
    """What weights that were fitted on so many of the queries gain on the others, in nDCG@5: mean and worst draw."""

    def quality_of(weights: fusion.Weights) -> np.ndarray:
        return np.array([judgments.ndcg(one.query, quality.ordered(one, weights), {}) for one in of])

    random, before, found = np.random.default_rng(0), quality_of(usual), {}
    for count in (10, 20, 50):
        orders = [random.permutation(len(of)) for _ in range(DRAWS if len(of) > count else 0)]
        gains = [
            float(
                np.mean(
                    (quality_of(fitting.fit([of[place] for place in order[:count]], usual)) - before)[order[count:]]
                )
            )
            for order in orders
        ]
        if gains:
            found[count] = (statistics.mean(gains), min(gains))
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


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def measured(folder: Path, source: Path, model: str | None, benchmarks: Sequence[RetrievalBenchmark]) -> dict:
    encoders = [*([open_encoder(model)] if model else []), open_encoder("reader")]
    places = [folder / encoder.identity[:12] for encoder in encoders]
    libraries = [indexed(place, encoder, source) for place, encoder in zip(places, encoders, strict=True)]
    before = sum(size(place) for place in places)
    words = libraries[parts.with_words([one.model for one in libraries])]
    words.index.count_words()
    own = libraries[0]
    both = HybridLibrary(own.index, own.model, image_of, libraries[1:], None)
    sets: dict[str, list[fitting.Example]] = {}
    for one in benchmarks:
        decks = {"slides/titles", "slides/translated-titles"}
        document = DECK.format(one.subset) if one.name in decks else source.name if source.is_file() else None
        sets.setdefault(one.name, []).extend(examples(both, one, document))
    queries = [example.query.text for of in sets.values() for example in of][:60]
    cost = {one.model.name: cpu_ms(EmbeddedLibrary(one.index, one.model, image_of), queries) for one in libraries}
    return {
        "ndcg_at_5": answers(sets, both.usual),
        "few_judged": {name: few_judged(of, both.usual) for name, of in sets.items()},
        "queries": {name: len(of) for name, of in sets.items()},
        "cpu_ms": {**cost, "hybrid": cpu_ms(both, queries)},
        "bytes": {"parts": before, "hybrid": sum(size(place) for place in places)},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--pdf", type=Path)
    parser.add_argument("--sheets", action="store_true")
    parser.add_argument("--indexes", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.indexes or Path(scratch)
        if options.sheets:
            for one in sheet_benchmarks():
                place = folder / one.name
                found = measured(place / "index", drawn(one, place / "pages"), options.model, [one])
                print(json.dumps(found, indent=1), flush=True)
            return
        source = options.pdf or FOLDER
        benchmarks = [manual(options.pdf)] if options.pdf else slide_benchmarks()
        print(json.dumps(measured(folder / source.stem, source, options.model, benchmarks), indent=1))


if __name__ == "__main__":
    main()
