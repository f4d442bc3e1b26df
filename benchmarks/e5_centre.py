"""What the vectors of all word pieces have in common: the average over documents, each of which counts the same.

python benchmarks/e5_centre.py refcard-*-a4.pdf --to src/collotype/assets/e5-centre.npy      from debian-refcard 12.0
"""

import argparse
from pathlib import Path

import numpy as np

from collotype.runtime import pdf
from collotype.search.encoders.e5 import MultilingualE5
from collotype.search.encoders.text import MULTILINGUAL, VERSIONS

ALL = 10**6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    model = MultilingualE5(VERSIONS[MULTILINGUAL].layers)
    model.centre = np.zeros(model.dim, np.float32)
    of_each = []
    for file in options.files:
        words = [word for page in range(pdf.num_pages(file)) for word, *_ in pdf.words(file, page + 1, ALL)]
        of_each.append(model.vectors([words])[0].sum(axis=0) / len(model.cut(words).pieces))
    np.save(options.to, np.mean(of_each, axis=0).astype(np.float32))


if __name__ == "__main__":
    main()
