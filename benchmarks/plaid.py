"""A search index beside fast-plaid of the same pages: CPU time to build and to ask, bytes, recall@10.

python benchmarks/plaid.py --python ENVIRONMENT/bin/python --pages 5000

fast-plaid's wheels are each for one torch, and none for the one that we pin, so it has an environment of its own: `pip
install torch==2.11.0 fast-plaid==1.7.0.2110`. One thread, on the CPU. It keeps vectors as a centre and four bits a
number of what is left; of the settings that are tried the quickest counts that finds as much as ours, or else the one
that finds most.
"""

import os

os.environ |= {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
}

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

K = 10
TRIED = ((8, 64), (8, 256), (32, 256), (8, 4096), (32, 4096))
"""Lists looked at, and pages scored in full, of fast-plaid; 8 and 4,096 are its defaults."""


def bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def recall(found: list[list[int]], best: np.ndarray) -> float:
    return float(np.mean([len(set(mine) & set(true)) / K for mine, true in zip(found, best.tolist(), strict=True)]))


def theirs(folder: Path, wanted: float) -> dict:
    """In fast-plaid's environment: what it takes, at the first number of lists that finds as much as is wanted."""
    import torch
    from fast_plaid import search

    torch.set_num_threads(1)
    pages = torch.from_numpy(np.load(folder / "pages.npy"))
    queries = np.load(folder / "queries.npz")
    queries = [torch.from_numpy(queries[str(number)]) for number in range(len(queries.files))]
    best, index = np.load(folder / "best.npy"), search.FastPlaid(index=str(folder / "plaid"), device="cpu")
    started = time.process_time()
    index.create(documents_embeddings=list(pages))
    built = time.process_time() - started
    del pages
    rows = [asked_of(index, queries, best, *tried) for tried in TRIED]
    enough = [row for row in rows if row["recall"] >= wanted]
    chosen = min(enough, key=lambda row: row["ms"]) if enough else max(rows, key=lambda row: row["recall"])
    return {"build_s": built, "bytes": bytes_of(folder / "plaid"), **chosen, "tried": rows}


def asked_of(index: Any, queries: list[Any], best: np.ndarray, lists: int, full: int) -> dict:
    taken, found = [], []
    for query in queries + queries:  # the first round opens what the second finds open
        started = time.process_time()
        settings = {"n_ivf_probe": lists, "n_full_scores": full, "n_processes": 1}
        [hits] = index.search(query[None], top_k=K, show_progress=False, **settings)
        taken.append(1000 * (time.process_time() - started))
        found.append([page for page, _ in hits])
    milliseconds = statistics.median(taken[len(queries) :])
    return {"ms": milliseconds, "recall": recall(found[len(queries) :], best), "lists": lists, "full": full}


def ours(folder: Path, count: int, asked: int) -> dict:
    import faiss

    import search_data
    from collotype.search.index import Index
    from search import build

    faiss.omp_set_num_threads(1)
    world = search_data.world()
    built = build(folder / "index", world, count, list(world.queries[:asked]))
    best = np.argsort(-built["truth"], axis=1)[:, :K]
    index, taken, found = Index.open(folder / "index"), [], []
    queries = search_data.queries(world)[:asked]
    for query in queries + queries:
        started = time.process_time()
        hits = index.search(query, K)
        taken.append(1000 * (time.process_time() - started))
        found.append([int(hit.document[:5]) * search_data.DOCUMENT_PAGES + hit.page - 1 for hit in hits])
    np.save(folder / "best.npy", best)
    np.savez(folder / "queries.npz", **{str(place): query for place, query in enumerate(world.queries[:asked])})
    shape = (count, search_data.VECTORS, search_data.DIM)
    pages = np.lib.format.open_memmap(folder / "pages.npy", "w+", np.float16, shape)
    for number in range(count):
        pages[number] = search_data.vectors(world, number)
    pages.flush()
    build_s, reached = built["writing_ms"] * count / 1000, recall(found[asked:], best)
    return {
        "build_s": build_s,
        "bytes": bytes_of(folder / "index"),
        "ms": statistics.median(taken[asked:]),
        "recall": reached,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", help="of fast-plaid's environment")
    parser.add_argument("--pages", type=int, default=5000)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="where there is room; a temporary folder, if none")
    parser.add_argument("--theirs", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--recall", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.theirs:
        print(json.dumps(theirs(options.theirs, options.recall)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        mine = ours(Path(scratch), options.pages, options.queries)
        print(json.dumps(mine), file=sys.stderr)
        command = [options.python, __file__, "--theirs", scratch, "--recall", str(mine["recall"])]
        other = json.loads(
            subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")[-2]
        )
    print(json.dumps({"ours": mine, "fast-plaid": other}))


if __name__ == "__main__":
    main()
