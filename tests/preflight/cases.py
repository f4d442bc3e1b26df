"""Cases to try rules on: a recipe on an A100 with everything there, and what is changed about that."""

from collections.abc import Mapping
from typing import Any

from collotype.importers import Origin
from collotype.preflight.context import CheckContext
from collotype.report import published
from collotype.runner.planning import resolve

A100 = {"kind": "cuda", "capability": [8, 0], "memory_mib": 81920}
V100 = {"kind": "cuda", "capability": [7, 0], "memory_mib": 32768}
CPU = {"kind": "cpu", "memory_mib": 16384}
ENGINE, OPEN_CLIP, BEIT3 = "colpali-engine", "open_clip", "beit3"
EXAMPLES = {"retriever": 118_695, "clip": 2_905_954, "beit3": 640_000}


def case(
    name: str,
    overrides: Mapping[str, Any] | None = None,
    plan: Mapping[str, Any] | None = None,
    tool: str | None = None,
    processes: int = 8,
    launcher: str = "torchrun",
    against: str | None = None,
    **theirs: Any,
) -> CheckContext:
    """
    Args:
        plan: changes to it.
        tool, processes, launcher, theirs: what it was imported from.
        against: the published result it is held against.
    """
    recipe = resolve(name, {"expect": [], **(overrides or {})})
    examples = (plan or {}).get("examples", EXAMPLES[recipe.family])
    per_epoch, train = examples // recipe.train.batch, recipe.train
    facts = {
        "precision": "fp16" if train.precision == "auto" else train.precision,
        "processes": 1,
        "steps": train.steps,
        "warmup_steps": recipe.warmup_steps,
        "epochs": train.steps / per_epoch,
        "warmup_epochs": recipe.warmup_steps / per_epoch,
        "examples": examples,
        "negatives_per_query": 0 if recipe.family == "beit3" else train.batch // recipe.negatives.processes - 1,
        "device": "A100",
        "hardware": A100,
        **({"batch_norm_group": 128} if name.startswith("clip-rn") else {}),
        **({"max_visual_tokens": budget} if (budget := getattr(recipe.model, "max_visual_tokens", None)) else {}),
        **({"preset": recipe.model.preset} if recipe.family == "retriever" else {}),
        **(plan or {}),
    }
    origin = Origin(tool=tool, launcher=launcher, processes=processes, settings=theirs) if tool else None
    return CheckContext(
        recipe=recipe, plan=facts, reference=published.load(against) if against else None, origin=origin
    )
