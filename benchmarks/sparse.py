"""A sparse retriever beside BM25 where pages have words: the packaged slides, asked by their titles. Both search one
index a language, as `collotype search` does: nDCG@5, bytes a page, CPU time of a query in one thread.

collotype run desk-slides --out runs/sparse-slides --set model.interaction=sparse --set model.dim=null \
    --set loss.temperature=0.2 --set loss.normalize=null --set loss.flops=0.001
python benchmarks/sparse.py runs/sparse-slides/model
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from collotype.evaluation.ranking import query_metrics
from collotype.families.retriever.benchmarks.slides import benchmark
from collotype.families.retriever.config import BYTES_PER_WEIGHT
from collotype.families.retriever.data.slides import packaged_decks
from collotype.search.encoders import open_encoder
from collotype.search.encoders.sparse import SparseEncoder
from collotype.search.hybrid import bm25
from collotype.search.index import Index
from collotype.search.ingest import ingest

Scored = Mapping[str, float]


def indexed(deck: Path, folder: Path, encoder: SparseEncoder) -> Index:
    made_by = {"encoder_name": encoder.name, "identity": encoder.identity}
    index = Index.create(folder, **made_by, dim=encoder.dim, interaction="sparse")
    ingest([deck], index, encoder)
    index.optimize()
    return index


def by_sparse(index: Index, encoder: SparseEncoder, ids: Mapping[int, str]) -> tuple[Callable[[str], Scored], float]:
    """What scores a query's pages, and bytes of the lists a page."""

    def scores(query: str) -> Scored:
        [asked] = encoder.encode_queries([query])
        pages, found, _ = index.ranked(asked)
        return {ids[number]: float(score) for (_, number), score in zip(pages, found, strict=True)}

    return scores, BYTES_PER_WEIGHT * float(index.view().version.catalogue.counts.mean())


def by_bm25(index: Index, ids: Mapping[int, str]) -> tuple[Callable[[str], Scored], float]:
    counted = bm25.count(index.view().version, index.folder / "side")

    def scores(query: str) -> Scored:
        numbers, found = index.view().version.catalogue.numbers, counted.scores(query)
        return {ids[int(numbers[place])]: float(found[place]) for place in np.flatnonzero(found)}

    # a term's number in four bytes, its count in two
    return scores, 6 * counted.counts.nnz / len(counted.keys)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("model")
    encoder = open_encoder(options.parse_args().model)
    rows: dict[str, list[Sequence[float]]] = {}
    for deck in packaged_decks():
        of = benchmark("slides/titles", deck, [deck])
        ids = dict(enumerate(of.pages.ids, start=1))
        with tempfile.TemporaryDirectory() as scratch:
            index = indexed(deck.path, Path(scratch) / "index", encoder)
            for name, (scores, size) in (("sparse", by_sparse(index, encoder, ids)), ("bm25", by_bm25(index, ids))):
                quality, spent = [], []
                for number, query in of.queries.items():
                    started = time.process_time()
                    found = scores(query)
                    spent.append(1000 * (time.process_time() - started))
                    quality.append(query_metrics(of.qrels[number], found)["ndcg_at_5"])
                rows.setdefault(name, []).append((statistics.mean(quality), size, statistics.median(spent)))
                print(json.dumps({"deck": deck.language, "by": name, "queries": len(quality), **told(rows[name][-1])}))
    for name, own in rows.items():
        print(
            json.dumps({"deck": "mean", "by": name, **told([statistics.mean(one) for one in zip(*own, strict=True)])})
        )


def told(row: Sequence[float]) -> dict[str, float]:
    return {"ndcg_at_5": round(row[0], 3), "bytes_per_page": round(row[1]), "cpu_ms_per_query": round(row[2], 3)}


if __name__ == "__main__":
    main()
