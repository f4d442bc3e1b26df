"""What a retriever trains on and is evaluated on: (query, page) pairs, and corpora with judgements."""

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from PIL import Image

from collotype.evaluation.ranking import Qrels
from collotype.families.retriever.sheets import (
    HELD_OUT_SEED,
    Pictures,
    Sheet,
    held_out_sheets,
    near_misses,
    second_hand_sheets,
    training_sheet,
)
from collotype.runtime.errors import UserError


@dataclass(frozen=True)
class Pair:
    """A training example: a query, the page that answers it, and pages that do not."""

    query: str
    page: Image.Image
    negatives: tuple[Image.Image, ...] = ()


class SheetPairs:
    """Training pairs from sheets, made on demand: a function of (seed, row)."""

    def __init__(self, pictures: Pictures, num_queries: int, seed: int, num_negatives: int = 0):
        self.pictures, self.num_queries, self.seed, self.num_negatives = pictures, num_queries, seed, num_negatives

    def __len__(self) -> int:
        return self.num_queries

    def example(self, row: int, epoch: int) -> Pair:
        sheet = training_sheet(self.pictures, row, self.seed)
        misses = near_misses(self.pictures, sheet, row, self.seed, self.num_negatives)
        page, *negatives = (self.pictures.draw(drawn, f"training row {row}") for drawn in (sheet, *misses))
        return Pair(sheet.query, page, tuple(negatives))

    def identities(self, row: int) -> tuple[Hashable, ...]:
        sheet = training_sheet(self.pictures, row, self.seed)
        return frozenset(sheet.named), sheet.cells

    def fingerprint(self) -> str:
        first = training_sheet(self.pictures, 0, self.seed)
        facts = f"{self.pictures.digest()} {self.num_queries} {self.seed} {self.num_negatives} {first}"
        return hashlib.sha256(facts.encode()).hexdigest()


@dataclass(frozen=True)
class Benchmark:
    """Pages to search, queries, and which pages answer which query."""

    name: str
    queries: dict[str, str]
    num_pages: int
    page: Callable[[int], Image.Image]
    qrels: Qrels
    fingerprint: str


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
    qrels = {
        query: {f"p{page:03d}": 1 for page, sheet in enumerate(sheets) if all(map(sheet.shows, named))}
        for query, named in queries.items()
    }
    return Benchmark(
        name,
        {query: " and ".join(named) for query, named in queries.items()},
        len(sheets),
        lambda page: pictures.draw(sheets[page], f"{name}, page p{page:03d}"),
        qrels,
        hashlib.sha256(f"{pictures.digest()} {HELD_OUT_SEED} {sheets}".encode()).hexdigest(),
    )


def find_suite(name: str) -> list[Benchmark]:
    if name not in SUITES:
        raise UserError(f"No suite {name!r}; a retriever can be evaluated on {', '.join(SUITES)}.")
    return SUITES[name]()


SUITES = {"sheets": sheet_benchmarks}
"""Suites by name."""
