"""A query beside exact NumPy MaxSim (float32, one query at a time) of the same pages: CPU time, recall@10, memory.

python benchmarks/search.py                      1,000 and 5,000 pages of benchmarks/search_data.py
python benchmarks/search.py --pages 20000        5.6 GB below --folder, 15 minutes
python benchmarks/search.py --pages 20000 --bits without the token lists, which take 50 ms a page to make

One thread. The index is asked in a process of its own, so that its memory is that of who searches: `peak` is all that
process held, the parts of memory-mapped files it touched included. The time is that of `Index.search`, places and text
of the ten hits included, when all queries are asked a second time: the index keeps the pages it scored last, of which
750 fit, and the operating system's cache holds what was read.
"""

import os

os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

import search_data
from collotype.search.index import Index
from collotype.search.scoring import ivf

K, AT_ONCE, BLOCK = 10, 20, 4


def build(folder: Path, world: search_data.World, count: int, queries: list[np.ndarray]) -> dict:
    """Fills an index; the exact scores of each query [queries, pages] and NumPy's seconds for each, on the way."""
    index = Index.create(folder, encoder_name="benchmark", identity="0" * 16, dim=search_data.DIM, interaction="late")
    truth, seconds, writing = np.empty((len(queries), count), np.float32), np.zeros(len(queries)), 0.0
    pages = search_data.pages(world, count)
    for first in range(0, count, AT_ONCE):
        batch = list(islice(pages, AT_ONCE))
        for place in range(0, len(batch), BLOCK):
            block = np.stack([encoded.vectors for _, encoded in batch[place : place + BLOCK]])
            here = first + place
            for number, query in enumerate(queries):
                started = time.process_time()
                truth[number, here : here + len(block)] = numpy_maxsim(query, block)
                seconds[number] += time.process_time() - started
        started = time.process_time()
        index.add(batch)
        writing += time.process_time() - started
    started = time.process_time()
    index.optimize()
    writing += time.process_time() - started
    return {"truth": truth, "numpy_ms": statistics.median(seconds) * 1000, "writing_ms": writing / count * 1000}


def numpy_maxsim(query: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Scores of pages [P, T, D]; the faster order of the product, in blocks that stay within the cache."""
    return (block.reshape(-1, block.shape[2]) @ query.T).reshape(*block.shape[:2], -1).max(axis=1).sum(axis=1)


def ask(folder: Path, count: int) -> dict:
    """What a process that searches finds, and takes."""
    import faiss

    faiss.omp_set_num_threads(1)
    index, rounds = Index.open(folder), []
    queries = search_data.queries(search_data.world())[:count]
    for _ in range(2):
        found, milliseconds = [], []
        for query in queries:
            started = time.process_time()
            hits, told = index.explained(query, K)
            milliseconds.append((time.process_time() - started) * 1000)
            found.append([int(hit.document[:5]) * search_data.DOCUMENT_PAGES + hit.page - 1 for hit in hits])
        # without the first, which opens what the others find open
        rounds.append(milliseconds[1:])
    return {
        "found": found,
        "first_ms": statistics.median(rounds[0]),
        "ms": statistics.median(rounds[1]),
        "ms_p95": float(np.percentile(rounds[1], 95)),
        "plan": told.plan,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure(count: int, queries: int, folder: Path) -> list[dict]:
    world = search_data.world()
    built = build(folder, world, count, list(world.queries[:queries]))
    command = [sys.executable, __file__, "--ask", str(folder), "--queries", str(queries)]
    asked = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    best = np.argsort(-built["truth"], axis=1)[:, :K]
    recall = np.mean(
        [len(set(mine) & set(theirs.tolist())) / K for mine, theirs in zip(asked["found"], best, strict=True)]
    )
    own = np.mean([mine[0] == search_data.planted(number) for number, mine in enumerate(asked["found"])])
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / count / 1024
    name = f"search, {count:,} pages of 1,030 × 128 (plan {asked['plan']})"
    rows = [
        (f"{name}: CPU time a query", asked["ms"], "ms", built["numpy_ms"], "exact NumPy MaxSim, float32"),
        ("the same: when asked for the first time", asked["first_ms"], "ms", built["numpy_ms"], "the same"),
        ("the same: 95th percentile", asked["ms_p95"], "ms", built["numpy_ms"], "exact NumPy MaxSim, median"),
        ("the same: recall@10", recall, "", 1.0, "exact"),
        ("the same: queries whose own page comes first", own, "", 1.0, "exact"),
        ("the same: peak memory of the process", asked["peak_mib"], "MiB", 1024.0, "allowed"),
        ("the same: CPU time to add a page", built["writing_ms"], "ms", 100.0, "allowed"),
        (
            "the same: on disk, a page",
            size,
            "KiB",
            search_data.VECTORS * search_data.DIM * 2 / 1024,
            "its vectors in fp16",
        ),
    ]
    return [
        {"what": what, "ours": float(ours), "unit": unit, "reference": reference, "against": against}
        for what, ours, unit, reference, against in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="where the index is made; a temporary folder, if none")
    parser.add_argument("--bits", action="store_true", help="make no token lists")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        print(json.dumps(ask(options.ask, options.queries)))
        return
    if options.bits:
        ivf.MADE_FROM = sys.maxsize
    rows = []
    for count in options.pages:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            rows += measure(count, options.queries, Path(folder) / "index")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
