"""What the reader gives up: layers, and an average for each different term. nDCG@5 and CPU time.

python benchmarks/reader_ways.py FILE --pages 60 120      titles of the outline that lead to these pages
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from collotype.evaluation.ranking import mean_metrics, query_metrics
from collotype.runtime import pdf
from collotype.search.encoders import text
from collotype.search.encoders.minilm import MiniLm

TOP, MIN_CHARS, ALL = 10, 3, 10**6
WAYS = {
    "six layers, a vector for each word": (6, ALL),
    "six layers, the average of each different one": (6, 0),
    "four layers, a vector for each word": (4, ALL),
    "four layers, the average": (4, 0),
}
"""Layers, and the longest page of which each word has its vector."""
Term = text.Term


def measured(
    titles: dict[str, set[int]], pages: dict[int, Sequence[Term]], vectors: Callable[[Sequence[Term]], np.ndarray]
) -> tuple[float, float, float]:
    """nDCG@5, CPU milliseconds and vectors a page."""
    started = time.process_time()
    encoded = {number: text.encoded(terms, vectors(terms)).vectors for number, terms in pages.items()}
    spent, found = time.process_time() - started, []
    for title, right in titles.items():
        query = vectors(text.split([(word, (0.0, 0.0, 1.0, 1.0)) for word in title.split()]))
        scores = {str(number): float((query @ page.T).max(axis=1).sum()) for number, page in encoded.items()}
        best = dict(sorted(scores.items(), key=lambda one: -one[1])[:TOP])
        found.append(query_metrics({str(page): 1 for page in right}, best))
    size = np.mean([len(page) for page in encoded.values()])
    return mean_metrics(found)["ndcg_at_5"], 1000 * spent / len(pages), float(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--pages", type=int, nargs=2, required=True)
    options = parser.parse_args()
    first, last = options.pages
    numbered = {number: pdf.words(options.file, number, ALL) for number in range(first, last + 1)}
    split = {number: text.split([(word, *where) for word, *where in words]) for number, words in numbered.items()}
    pages = {number: terms for number, terms in split.items() if terms}
    titles: dict[str, set[int]] = defaultdict(set)
    for _, title, page in pdf.outline(options.file):
        if len(query := " ".join(title.split())) >= MIN_CHARS and page in pages:
            titles[query].add(page)
    reader = text.TextEncoder()
    six = MiniLm(6)
    rows = []
    for name, (layers, each) in WAYS.items():
        reader.meaning.layers = six.layers[:layers]
        text.EACH_UP_TO = each
        ndcg, milliseconds, vectors = measured(titles, pages, lambda terms: reader.vectors([terms])[0])
        rows.append({"way": name, "ndcg_at_5": ndcg, "cpu_ms_a_page": milliseconds, "vectors_a_page": vectors})
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
