"""The smoke form of a recipe: the same path in seconds on any machine, with tiny random weights and a few local rows.

Architecture, loss, negatives, adapter and schedule stay; what needs a download, a GPU or time is swapped.
"""

from collections.abc import Mapping
from typing import Any

STEPS, BATCH = 4, 8


def smoke_form(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of a recipe's values; unsound ones stay as they are, for the schema to refuse."""
    model, train = dict(values.get("model") or {}), dict(values.get("train") or {})
    per_process = (values.get("negatives") or {}).get("processes", 1)
    optimizer, schedule = dict(train.get("optimizer") or {}), dict(train.get("schedule") or {})
    sources = (values.get("data") or {}).get("train")
    first = sources[0] if isinstance(sources, list) else sources or {}
    rows = {"source": "sheets", "queries": STEPS * BATCH, "negatives": first.get("negatives", 0)}
    return {
        **values,
        "name": f"{values.get('name')}-smoke",
        "model": {**model, "size": "tiny", "weights": None, "base": None},
        "data": {"train": rows},
        "train": {
            **train,
            "batch": max(BATCH, per_process),
            "micro_batch": 2,
            "steps": STEPS,
            "precision": "fp32",
            "optimizer": {**optimizer, "name": "adamw"},
            "schedule": {**schedule, "warmup_fraction": 0.0, "warmup_steps": 1},
            "checkpoint_every": STEPS // 2,
            "workers": 0,
        },
        "evaluate": [{"suite": "sheets"}],
        "expect": [],
    }
