"""What a retriever is evaluated on, suite by suite."""

from collotype.families.retriever.benchmarks.benchmark import Benchmark
from collotype.families.retriever.benchmarks.sheets import sheet_benchmarks
from collotype.runtime.errors import UserError

SUITES = {"sheets": sheet_benchmarks}
"""Suites by name."""


def find_suite(name: str) -> list[Benchmark]:
    if name not in SUITES:
        raise UserError(f"No suite {name!r}; a retriever can be evaluated on {', '.join(SUITES)}.")
    return SUITES[name]()
