"""Published results as data: NAME.yaml beside this file."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published run."""

    name: str
    """Of the file: bipali-paper."""
    model: str
    date: str
    source: str
    """Where it stands: a paper's table, an issue, a leaderboard's commit."""
    results: dict[str, dict[str, float]]
    """By "SUITE/DATASET" and metric, in this project's names and from 0 to 1."""
    noise: dict[str, float]
    """By metric: how far two runs of it are apart, where somebody measured it, or the reading error of a plot."""
    curves: dict[str, list[tuple[float, float]]]
    """By "SUITE/DATASET/metric": (epoch, value)."""
    circumstances: dict[str, Any]
    """As dotted keys of a recipe or a plan (train.batch, negatives_per_query, train.steps, …) with their values: what a
    run is held against."""
    notes: str = ""
