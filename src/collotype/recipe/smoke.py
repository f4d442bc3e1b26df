"""The smoke form of a recipe: the same path in seconds on any machine, with tiny random weights and a few local rows.

Architecture, loss, negatives, adapter and schedule stay; what needs a download, a GPU or time is swapped.
"""

from collections.abc import Mapping
from typing import Any

STEPS, BATCH = 4, 8


def smoke_form(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of a recipe's values; what is no section stays as it is, for the schema to refuse."""
    train, negatives = section(values, "train"), section(values, "negatives")
    processes = negatives.get("processes", 1)
    batch = processes * -(-BATCH // processes) if isinstance(processes, int) and processes > 0 else BATCH
    changed = {
        **FAMILIES.get(values.get("family"), retriever)(section(values, "model"), section(values, "data"), batch),
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


def retriever(model: Mapping[str, Any], data: Mapping[str, Any], batch: int) -> dict[str, Any]:
    sources = data.get("train")
    sources = [one for one in (sources if isinstance(sources, list) else [sources]) if isinstance(one, Mapping)]
    explicit = max((one.get("negatives", 0) for one in sources), default=0)
    return {
        "model": {**model, "size": "tiny", "weights": None, "base": None, "quantize": "none"},
        "data": {"train": {"source": "sheets", "queries": STEPS * batch, "negatives": explicit}},
        "evaluate": [{"suite": "sheets"}],
    }


def clip(model: Mapping[str, Any], data: Mapping[str, Any], batch: int) -> dict[str, Any]:
    vit = "vit" in str(model.get("size")).lower()
    return {
        "model": {
            **{name: model[name] for name in ("activation", "init_seed") if name in model},
            "size": "tiny-vit" if vit else "tiny-rn",
            "vocabulary": "words",
        },
        "data": {**data, "train": {"source": "shards", "path": "collotype:pictures/twitter.tar"}},
        "evaluate": [{"suite": "pictures"}],
    }


def beit3(model: Mapping[str, Any], data: Mapping[str, Any], batch: int) -> dict[str, Any]:
    return {
        "model": {
            **{name: model[name] for name in ("drop_path", "init_seed") if name in model},
            "size": "tiny",
            "tokenizer": "words",
        },
        "data": {**data, "answers": None, "num_answers": None, "train": {"source": "easy-vqa"}},
        "evaluate": [{"suite": "easy-vqa", "limit": 64}],
    }


FAMILIES = {"retriever": retriever, "clip": clip, "beit3": beit3}


def section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}
