"""The sheets suite: held-out queries over pages of small images."""

import hashlib

from collotype.families.retriever.benchmarks.benchmark import Pages, RetrievalBenchmark
from collotype.families.retriever.data.sheets import (
    HELD_OUT_SEED,
    SHEET_PX,
    Sheet,
    SheetImages,
    held_out_sheets,
    packaged_images,
    second_hand_sheets,
)


def sheet_benchmarks() -> list[RetrievalBenchmark]:
    """`sheets/held-out` and the harder `sheets/held-out-second-hand`, of the images that come with the package."""
    images = packaged_images()
    return [
        sheet_benchmark("sheets/held-out", images, held_out_sheets(images)),
        sheet_benchmark("sheets/held-out-second-hand", images, second_hand_sheets(images)),
    ]


def sheet_benchmark(name: str, images: SheetImages, sheets: list[Sheet]) -> RetrievalBenchmark:
    """Every sheet that shows both named images answers a query, whichever sheet the query was made for."""
    queries = {f"q{number:03d}": sheet.named for number, sheet in enumerate(sheets)}
    ids = [f"p{number:03d}" for number in range(len(sheets))]
    qrels = {
        query: {page: 1 for page, sheet in zip(ids, sheets, strict=True) if sheet.shows(*named)}
        for query, named in queries.items()
    }
    pages = Pages(
        ids,
        image=lambda page: images.draw(sheets[page], f"{name}, page {ids[page]}"),
        size=lambda page: (SHEET_PX, SHEET_PX),
        fingerprint=hashlib.sha256(f"{images.digest} {HELD_OUT_SEED} {sheets}".encode()).hexdigest(),
    )
    return RetrievalBenchmark(name, {query: " and ".join(named) for query, named in queries.items()}, pages, qrels)
