"""The rule that compares all keys with the published run.

What a difference is likely to do is said once, in `preflight/difference_effects.py`, for this and for `collotype
compare`.
"""

from collections.abc import Iterator
from typing import Any

from collotype.preflight.context import CheckContext
from collotype.preflight.difference_effects import EFFECTS
from collotype.preflight.findings import SEVERITIES, Severity
from collotype.preflight.reference import is_number, same, value_of
from collotype.preflight.rules.rule import Evidence, rule
from collotype.report.compare import effect_of
from collotype.report.published import Published

LABELS = {
    "train.batch": "batch",
    "train.steps": "steps",
    "loss.name": "loss",
    "loss.dialect": "dialect of the loss",
    "negatives_per_query": "negatives per query",
    "train.optimizer.name": "optimiser",
    "train.optimizer.lr": "learning rate",
    "train.precision": "precision",
    "train.seed": "seed",
    "model.preset": "generation of query prompts",
    "model.weights": "starting weights",
    "model.activation": "activation",
    "model.batch_norm_group": "examples that share BatchNorm",
    "max_visual_tokens": "visual budget",
    "data.train.examples": "number of examples",
    "data.train.path": "training data",
}
"""What a key is called in a finding's name; the others by themselves."""
SIZES = {
    "train.batch": "ColPali on ViDoRe v1: nDCG@5 81.3 at batch 32, 84.8 at 256, other settings changed, too",
    "negatives_per_query": "BiPali on ViDoRe v1: nDCG@5 58.8 with 31, 34.0 with 3",
    "loss.dialect": "ColbertPairwiseCELoss of a separated batch: 0.47 since colpali-engine 0.3.11, near 0 before",
}
"""How large the difference was where somebody measured it."""
UNSETTABLE = {
    "negatives_per_query": "train.batch and negatives.scope decide it",
    "epochs": "train.steps and train.batch decide it",
    "data.train.examples": "complete the copy, or expect what this copy can give",
}
"""What to do about keys that no `--set` sets."""
SET_BY = {"max_visual_tokens": "model.max_visual_tokens"}
"""The recipe's keys of what is compared as the plan has it."""
ELSEWHERE = {
    "train.gradient_checkpointing",
    "train.schedule.warmup_fraction",
    "train.schedule.warmup_steps",
    "warmup_epochs",
    "negatives.scope",
}
"""What changes no number, or has a rule of its own."""


@rule("differs from the published run", "may differ", "preflight/difference_effects.py, by key")
def differs_from_published_run(context: CheckContext) -> Iterator[Evidence]:
    if (reference := context.reference) is None:
        return
    for key, there in reference.circumstances.items():
        differs = same(context.recipe, context.plan, key, there) is False
        if key in ELSEWHERE or not differs or follows(context, reference, key):
            continue
        here = value_of(context.recipe, context.plan, key)[1]
        effect, label = effect_of(key, EFFECTS), LABELS.get(key, key)
        ordered = is_number(here) and is_number(there) and key != "train.seed"
        side = f"{'below' if here < there else 'above'} the reference" if ordered else "other than the reference's"
        yield Evidence(
            name=f"{label} {side}",
            severity=severity_of(effect.severity, ordered and here > there),
            seen=f"{key} {shown(here)}",
            reference=f"{shown(there)} ({reference.name})",
            why=f"{effect.why[:1].upper()}{effect.why[1:] or 'The published run is known to have had another value'}.",
            effect=SIZES.get(key, ""),
            fix=UNSETTABLE.get(key) or f"--set {SET_BY.get(key, key)}={written(there)}",
            source=effect.source or reference.source,
        )


def follows(context: CheckContext, reference: Published, key: str) -> bool:
    """Is the difference said by that of another key, or by a rule of its own?"""

    def differs(other: str) -> bool:
        circumstances = reference.circumstances
        return other in circumstances and same(context.recipe, context.plan, other, circumstances[other]) is False

    if key == "train.precision":
        return context.plan.get("precision") == "bf16" and "batch_norm_group" in context.plan
    if key == "negatives_per_query":
        return differs("train.batch") or context.recipe.negatives.scope == "process"
    return key == "train.steps" and "epochs" in context.plan and "epochs" in reference.circumstances


def severity_of(said: str, more: bool) -> Severity:
    """More of something than the published run had may well do better."""
    known: Severity = next((one for one in SEVERITIES[1:] if one == said), "may differ")
    return "may differ" if more and known == "will differ" else known


def shown(value: Any) -> str:
    if not is_number(value):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def written(value: Any) -> str:
    """As `--set` takes it."""
    text = "null" if value is None else str(value).replace(" ", "")
    return f"'{text}'" if set(text) & set("<>[]") else text
