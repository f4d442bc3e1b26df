"""The smoke form of a recipe: the same path in seconds on any machine, with tiny random weights and a few local rows.

Architecture, loss, negatives, adapter and schedule stay; what needs a download, a GPU or time is swapped.
"""

from collections.abc import Mapping
from typing import Any

from collotype.recipe.family import recipe_spec
from collotype.registry import FAMILIES

STEPS, BATCH = 4, 8


def smoke_form(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of a recipe's values; what is not a section stays as it is, for the schema to refuse."""
    train, negatives = section(values, "train"), section(values, "negatives")
    processes = negatives.get("processes", 1)
    batch = processes * -(-BATCH // processes) if isinstance(processes, int) and processes > 0 else BATCH
    changed = {
        **of_family(values, batch),
        "train": {
            **train,
            "batch": batch,
            "micro_batch": None,
            "micro_batch_tokens": None,
            "steps": STEPS,
            "precision": "fp32",
            "optimizer": {**section(train, "optimizer"), "name": "adamw"},
            "schedule": {**section(train, "schedule"), "warmup_fraction": 0.0, "warmup_steps": 1},
            "checkpoint_every": STEPS // 2,
            "workers": 0,
        },
    }
    sound = {name: value for name, value in changed.items() if isinstance(values.get(name, {}), Mapping | list | tuple)}
    named = {"name": f"{values['name']}-smoke"} if "name" in values else {}
    return {**values, **sound, **named, "expect": []}


def of_family(values: Mapping[str, Any], batch: int) -> dict[str, Any]:
    family = values.get("family")
    if not isinstance(family, str) or family not in FAMILIES:
        return {}
    return recipe_spec(family).smoke_form(section(values, "model"), section(values, "data"), batch)


def section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}
