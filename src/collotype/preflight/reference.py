"""The published run to compare a recipe with, and the settings that they share."""

import math
from collections.abc import Mapping
from typing import Any

from collotype.losses.registry import CURRENT, OBJECTIVES
from collotype.recipe import Recipe
from collotype.recipe.section import Section
from collotype.report import published
from collotype.report.published import Published
from collotype.runtime.hub import plain

IDENTITY = ("model.backbone", "model.interaction", "model.size", "model.dim")
"""What makes two models the same; another value is another model."""
WITHIN = {"train.steps": 0.02, "epochs": 0.02, "data.train.examples": 0.01, "train.optimizer.lr": 1e-6}
"""Differences up to this part of the published value are none."""


def reference_of(recipe: Recipe, against: str | None = None) -> Published | None:
    """The published result of that name; none: the one that the recipe expects, if it does."""
    name = against or next((one.published for one in recipe.expect if one.published), None)
    return published.load(name) if name else None


def nearest(recipe: Recipe, plan: Mapping[str, Any]) -> Published | None:
    """Of the published runs of this model on what the recipe measures, that with most of its circumstances."""
    best: tuple[int, Published] | None = None
    for one in map(published.load, published.names()):
        measured = any(choice.measures(dataset) for choice in recipe.evaluate for dataset in one.results)
        shares = {key: same(recipe, plan, key, value) for key, value in one.circumstances.items()}
        identity = [shares[key] for key in IDENTITY if key in shares]
        if not measured or not identity or not all(identity):
            continue
        score = sum(1 if alike else -1 for alike in shares.values() if alike is not None)
        if best is None or score > best[0]:
            best = (score, one)
    return best[1] if best else None


def same(recipe: Recipe, plan: Mapping[str, Any], key: str, there: Any) -> bool | None:
    """Has the recipe, or its plan, this value of a dotted key? None where that is not known."""
    known, here = value_of(recipe, plan, key)
    return equal(here, there, WITHIN.get(key, 1e-9)) if known else None


def value_of(recipe: Recipe, plan: Mapping[str, Any], key: str) -> tuple[bool, Any]:
    """Is a dotted key of the recipe or the plan known, and what is it?"""
    if key == "data.train.examples":
        return "examples" in plan and not plan.get("assumed"), plan.get("examples")
    if key == "train.precision" and "precision" in plan:
        return True, plan["precision"]
    if key in plan:
        return True, plan[key]
    here: Any = recipe
    for part in key.split("."):
        if isinstance(here, list):
            here = here[0] if here else None
        if not isinstance(here, Section) or part not in type(here).model_fields:
            return False, None
        here = getattr(here, part)
    if key == "loss.dialect" and here is None:
        return getattr(recipe.loss, "name", None) not in OBJECTIVES, CURRENT
    return True, here


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(here: Any, there: Any, within: float) -> bool:
    if is_number(here) and is_number(there):
        return math.isclose(here, there, rel_tol=within)
    if isinstance(here, str) and isinstance(there, str):
        # a local copy of a repository has its name
        here, there = str(plain(here)), str(plain(there))
        return bool(here.rstrip("/").split("/")[-1] == there.split("/")[-1])
    return bool(here == there)
