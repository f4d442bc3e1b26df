"""The inverted lists of sparse pages, memory-mapped: for each token, its pages with their weights."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from collotype.search import sidecar
from collotype.search.sidecar import Sidecar
from collotype.search.store import Version, from_lists

KIND = "inverted"


@dataclass(frozen=True)
class Lists:
    """Of some pages, numbered from 0: those of token t are `pages[starts[t] : starts[t + 1]]`, and `weights` alike."""

    starts: np.ndarray
    """int64 [V + 1], or less where no page has the last tokens."""
    pages: np.ndarray
    """int32."""
    weights: np.ndarray
    """float16."""
    count: int
    """How many pages they are of."""

    @classmethod
    def of(cls, version: Version, places: np.ndarray) -> "Lists":
        """Of the pages at these places of a version's catalogue."""
        rows = version.take(places, ["token_ids", "vectors"])
        ids, weights = rows["token_ids"].combine_chunks(), from_lists(rows["vectors"])[0]
        tokens = ids.flatten().to_numpy()
        pages = np.repeat(np.arange(len(places), dtype=np.int32), ids.value_lengths().fill_null(0).to_numpy())
        order = np.argsort(tokens, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(tokens))]).astype(np.int64)
        return cls(starts, pages[order], weights[order, 0], len(places))

    @classmethod
    def read(cls, side: Sidecar) -> "Lists":
        arrays = side.arrays
        return cls(arrays["starts"], arrays["pages"], arrays["weights"], len(arrays["keys"]))

    def scores(self, tokens: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Of every page, float32: the dot product with a query of these tokens and weights [m]; no other list is
        read."""
        found = np.zeros(self.count, np.float32)
        for token, weight in zip(tokens.tolist(), weights, strict=True):
            if token + 1 < len(self.starts):
                own = slice(*self.starts[token : token + 2])
                # a token is on a page once, so no place is named twice
                found[self.pages[own]] += weight * self.weights[own].astype(np.float32)
        return found


def build(folder: Path, version: Version) -> None:
    """Writes the side file of this version."""
    places = np.flatnonzero(version.catalogue.counts > 0)
    if len(places):
        sidecar.write(folder, KIND, version.number, partial(fill, version=version, places=places))


def fill(scratch: Path, version: Version, places: np.ndarray) -> None:
    found = Lists.of(version, places)
    arrays = {"starts": found.starts, "pages": found.pages, "weights": found.weights}
    for name, array in {**arrays, "keys": version.catalogue.keys[places]}.items():
        np.save(scratch / f"{name}.npy", array)
