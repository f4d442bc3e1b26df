"""The reader's versions beside each other on a manual: nDCG@5 of titles, CPU time and vectors of a page.

python benchmarks/reader_ways.py FILE --pages 60 120      titles of the outline that lead to these pages
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from collotype.evaluation.ranking import mean_metrics, query_metrics
from collotype.runtime import pdf
from collotype.search.encoders.text import VERSIONS, TextEncoder
from collotype.search.pages import Page, Word

TOP, MIN_CHARS, ALL = 10, 3, 10**6


def measured(version: int, pages: list[Page], titles: dict[str, set[int]]) -> dict[str, object]:
    reader = TextEncoder(version)
    started = time.process_time()
    encoded = reader.encode_pages(pages)
    spent, found = time.process_time() - started, []
    for title, query in zip(titles, reader.encode_queries([*titles]), strict=True):
        scores = [float((query.vectors @ page.vectors.T).max(axis=1).sum()) for page in encoded]
        best = sorted(zip(scores, pages, strict=True), key=lambda one: -one[0])[:TOP]
        right = {str(number): 1 for number in titles[title]}
        found.append(query_metrics(right, {str(page.number): score for score, page in best}))
    return {
        "reader": reader.name,
        "pages": len(pages),
        "titles": len(titles),
        "ndcg_at_5": mean_metrics(found)["ndcg_at_5"],
        "cpu_ms_a_page": 1000 * spent / len(pages),
        "vectors_a_page": float(np.mean([len(page.vectors) for page in encoded])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--pages", type=int, nargs=2, required=True)
    options = parser.parse_args()
    first, last = options.pages
    pages, titles = [], defaultdict(set)
    for number in range(first, last + 1):
        if words := [Word(*word) for word in pdf.words(options.file, number, ALL)]:
            about = {"document": options.file.name, "number": number, "digest": "", "size": (1, 1), "words": words}
            pages.append(Page(**about, image=lambda: Image.new("L", (1, 1))))
    read = {page.number for page in pages}
    for _, title, page in pdf.outline(options.file):
        if len(query := " ".join(title.split())) >= MIN_CHARS and page in read:
            titles[query].add(page)
    for version in VERSIONS:
        print(json.dumps(measured(version, pages, titles)), flush=True)


if __name__ == "__main__":
    main()
