"""The sheets suite: held-out queries over pages of small pictures."""

import hashlib

from collotype.families.retriever.benchmarks.benchmark import Benchmark, Pages
from collotype.families.retriever.data.sheets import (
    HELD_OUT_SEED,
    SHEET_PX,
    Pictures,
    Sheet,
    held_out_sheets,
    second_hand_sheets,
)


def sheet_benchmarks() -> list[Benchmark]:
    """`sheets/held-out` and the harder `sheets/held-out-second-hand`, of the pictures that come with the package."""
    pictures = Pictures()
    return [
        sheet_benchmark("sheets/held-out", pictures, held_out_sheets(pictures)),
        sheet_benchmark("sheets/held-out-second-hand", pictures, second_hand_sheets(pictures)),
    ]


def sheet_benchmark(name: str, pictures: Pictures, sheets: list[Sheet]) -> Benchmark:
    """Every sheet that shows both named pictures answers a query, whichever sheet the query was made for."""
    queries = {f"q{number:03d}": sheet.named for number, sheet in enumerate(sheets)}
    ids = [f"p{number:03d}" for number in range(len(sheets))]
    qrels = {
        query: {page: 1 for page, sheet in zip(ids, sheets, strict=True) if sheet.shows(*named)}
        for query, named in queries.items()
    }
    pages = Pages(
        ids,
        image=lambda page: pictures.draw(sheets[page], f"{name}, page {ids[page]}"),
        size=lambda page: (SHEET_PX, SHEET_PX),
        fingerprint=hashlib.sha256(f"{pictures.digest} {HELD_OUT_SEED} {sheets}".encode()).hexdigest(),
    )
    return Benchmark(name, {query: " and ".join(named) for query, named in queries.items()}, pages, qrels)
