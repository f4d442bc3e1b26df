"""Published results as data: NAME.yaml in this folder."""

import difflib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from collotype.evaluation.results import display_name
from collotype.recipe.load import explain, parse_yaml
from collotype.recipe.section import Fraction
from collotype.runtime.errors import UserError

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published run."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    name: str
    """Of the file: bipali-paper."""
    model: str
    date: str
    """When it was published or last read: 2024-06, 2024."""
    source: str
    """Where it stands: a paper's table, an issue, a leaderboard's commit."""
    results: dict[str, dict[str, Fraction]]
    """By "SUITE/DATASET" and metric, in this project's names and from 0 to 1."""
    noise: dict[str, Fraction] = field(default_factory=dict)
    """By metric, or "SUITE/DATASET/metric" where one differs: how far two runs of it are apart, where somebody measured
    it, or the reading error of a plot; `notes` says which."""
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """By "SUITE/DATASET/metric": (epoch, value)."""
    circumstances: dict[str, Any] = field(default_factory=dict)
    """As dotted keys of a recipe or a plan (train.batch, negatives_per_query, train.steps, …) with their values: what a
    run is held against. Only what its source states."""
    measured_by: str | None = None
    """Who measures these results, where no run can."""
    notes: str = ""

    def noise_of(self, dataset: str, metric: str) -> float | None:
        """None where nobody knows."""
        return self.noise.get(f"{dataset}/{metric}", self.noise.get(metric))

    @property
    def in_short(self) -> str:
        """One value: the average of a suite, where there is one, else the first."""
        dataset = next((name for name in self.results if name.endswith("/average")), next(iter(self.results)))
        metric, value = next(iter(self.results[dataset].items()))
        return f"{round(100 * value, 2):g} {display_name(metric)} of {dataset}"


def names() -> list[str]:
    return sorted(file.stem for file in HERE.glob("*.yaml"))


@cache
def load(name: str) -> Published:
    """
    Raises:
        UserError: nothing is published under that name, or its file is damaged.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.0)[0]
        raise UserError(
            f"There is no published result {name!r}; did you mean {near!r}? `collotype list published` lists all of "
            "them."
        )
    values = parse_yaml((HERE / f"{name}.yaml").read_text(), f"The published result {name}")
    try:
        # JSON's lists are also the pairs of a curve, which Python's are not where types are strict
        return TypeAdapter(Published).validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise UserError(explain(error, f"The published result {name}")) from None
