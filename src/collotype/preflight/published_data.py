"""The published sizes of datasets, to compare a copy with.

Sources: the data sets' cards; ViDoRe v1 as mteb 2.26.24 counts it, duplicate pages merged.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from collotype.recipe.data import TrainSourceSection
from collotype.runtime.hub import plain
from collotype.runtime.shards.names import expand

TRAINED_ON = {
    "colpali_train_set": 118_695,
    "easy-vqa": 38_575,
}
"""Examples by the last part of a source's path, or by its kind."""
SHARDS = {("cc3m-train-", 576): 2_905_954}
"""Pairs by (how the names of shards begin, how many there are): pixparse/cc3m-wds."""

VIDORE_V1 = {
    "arxivqa": (500, 500),
    "docvqa": (451, 500),
    "infovqa": (494, 500),
    "tabfquad": (280, 70),
    "tatdqa": (1646, 277),
    "shiftproject": (100, 1000),
    "syntheticdocqa-artificial-intelligence": (100, 968),
    "syntheticdocqa-energy": (100, 977),
    "syntheticdocqa-government-reports": (100, 972),
    "syntheticdocqa-healthcare-industry": (100, 965),
}
MEASURED_ON = {
    **{f"vidore-v1/{name}": {"queries": queries, "pages": pages} for name, (queries, pages) in VIDORE_V1.items()},
    "imagenet/val": {"pictures": 50_000},
    "vqav2/test": {"questions": 447_793},
    "easy-vqa/test": {"questions": 9_673},
}
"""Sizes by "SUITE/DATASET", under the names that the families give them."""


def published_examples(sources: Sequence[TrainSourceSection]) -> int | None:
    """How many training examples the sources have as published; none where one of them is not known here, or is cut."""
    counts = [None if getattr(source, "limit", None) else examples_of(source) for source in sources]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def examples_of(source: TrainSourceSection) -> int | None:
    path = str(getattr(source, "path", None) or source.source)
    if ".tar" in path:
        names = [PurePosixPath(name).name for part in path.split("::") for name in expand(part)]
        return next(
            (n for (start, count), n in SHARDS.items() if len(names) == count and names[0].startswith(start)), None
        )
    return TRAINED_ON.get(PurePosixPath(plain(path) or path).name)


def beside_published(facts: dict[str, Any], sources: Sequence[TrainSourceSection]) -> dict[str, dict[str, Any]]:
    """The facts of each data set with the `published` sizes beside, where they are known."""
    found = {}
    for name, one in facts.items():
        if name == "train":
            published = {"examples": count} if (count := published_examples(sources)) else {}
        else:
            published = MEASURED_ON.get(name, {})
        found[name] = {**one, **({"published": published} if published else {})}
    return found
