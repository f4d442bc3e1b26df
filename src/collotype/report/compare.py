"""Two runs side by side: what differs in what they were, and in what came out."""

from pathlib import Path
from typing import Any

from collotype.report.record import read_record


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    if not isinstance(values, dict):
        return {prefix: values}
    return {k: v for name, part in values.items() for k, v in flatten(part, f"{prefix}.{name}".lstrip(".")).items()}


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The dotted keys whose values differ, with both values."""
    left, right = flatten(one), flatten(other)
    keys = [*left, *(key for key in right if key not in left)]
    return {key: (left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)}


def compare_runs(one: Path, other: Path) -> dict[str, Any]:
    """Differences of two finished runs' recipes and environments, and their results' common metrics in pairs.

    Raises:
        UserError: one of the folders is no finished run.
    """
    left, right = read_record(one), read_record(other)
    results = {
        dataset: {metric: (value, right["results"][dataset][metric]) for metric, value in metrics.items()}
        for dataset, metrics in left["results"].items()
        if dataset in right["results"]
    }
    not_science = ("name", "expect")
    recipe = differences(left["recipe"], right["recipe"])
    return {
        "names": (left["recipe"]["name"], right["recipe"]["name"]),
        "recipe": {key: pair for key, pair in recipe.items() if key.split(".")[0] not in not_science},
        "environment": {
            key: pair
            for key, pair in differences(left["environment"], right["environment"]).items()
            if key.split(".")[0] != "command"
        },
        "seconds": (left["timing"]["steps_s"], right["timing"]["steps_s"]),
        "results": results,
    }
