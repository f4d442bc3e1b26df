"""Wherever the recipe or its plan differs from what is known of the published run: one comparison, and what each key
means."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from collotype.check.case import Case
from collotype.check.findings import Severity
from collotype.check.rules.rule import Seen, rule
from collotype.losses.named import CURRENT, OBJECTIVES
from collotype.recipe.schema import Section


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What it means that a key differs.

    Args:
        name, severity, why: of (value here, published value), where they depend on these.
        within: differences up to this part of the published value are none.
        settable: can a `--set` of the key give the published value?
    """

    name: str | Callable[[Any, Any], str]
    why: str
    severity: Severity | Callable[[Any, Any], Severity] = "may differ"
    effect: str = ""
    source: str | None = None
    within: float = 1e-9
    settable: bool = True


def fewer(what: str, than: str = "the reference") -> Callable[[Any, Any], str]:
    return lambda here, there: f"{what} {'below' if here < there else 'above'} {than}"


def worse_below(here: Any, there: Any) -> Severity:
    return "will differ" if here < there else "may differ"


MEANINGS: dict[str, Meaning] = {
    "train.batch": Meaning(
        name=fewer("batch"),
        severity=worse_below,
        why="A contrastive loss has its negatives in the batch, and learning rates are chosen for a batch's size.",
        effect="colpali-engine's README, other settings changed too: 81.3 at batch 32, 84.8 at 256 (ColPali, nDCG@5 of "
        "ViDoRe v1)",
        source="colpali issues 84, 124 and 147; model cards",
    ),
    "negatives_per_query": Meaning(
        name=fewer("negatives per query"),
        severity="will differ",
        why="How hard the task is that training sets.",
        effect="BiPali on ViDoRe v1: nDCG@5 58.8 with 31, 34.0 with 3",
        source="colpali issue 124",
        settable=False,
    ),
    "negatives.scope": Meaning(
        name="negatives of another scope",
        severity="will differ",
        why="How hard the task is that training sets.",
        source="colpali issue 124",
    ),
    "train.steps": Meaning(
        name=fewer("steps"),
        severity=worse_below,
        why="The schedule ends sooner or later, and so does what is learned.",
        within=0.02,
    ),
    "epochs": Meaning(
        name=fewer("epochs"),
        severity=worse_below,
        why="Every example is seen as many times.",
        within=0.02,
        settable=False,
    ),
    "loss.name": Meaning(
        name="loss other than the reference's",
        severity="will differ",
        why="Another objective is another training.",
        source="colpali issues 84 and 124",
    ),
    "loss.dialect": Meaning(
        name="dialect of the loss other than the reference's",
        severity="will differ",
        why="Temperature and normalisation of the losses changed between versions under the same names.",
        effect="ColbertPairwiseCELoss of a perfectly separated batch: 0.47 in colpali-engine >= 0.3.11, near 0 before",
        source="colpali issue 371; colpali-engine 0.3.11",
    ),
    "train.optimizer.name": Meaning(
        name="optimiser other than the reference's",
        why="8-bit states round the second moments; shipped configurations name adamw where the paper used "
        "paged_adamw_8bit.",
        source="colpali issue 84",
    ),
    "train.optimizer.lr": Meaning(
        name=fewer("learning rate"), why="It was chosen for the published batch, optimiser and loss.", within=1e-6
    ),
    "train.precision": Meaning(
        name="precision other than the reference's", why="Another rounding, and in fp16 another range.", settable=True
    ),
    "model.preset": Meaning(
        name="query prompt of another generation",
        why="The texts around queries and pages changed between versions under the same name.",
        source="mteb pull request 5106; docs/retrievers.md",
    ),
    "max_visual_tokens": Meaning(
        name="visual budget other than the reference's",
        severity="will differ",
        why="More tokens see smaller print.",
        settable=False,
    ),
    "model.weights": Meaning(
        name="other weights to start from",
        severity="will differ",
        why="Training starts elsewhere; a base with a projection of its own is not the same as one that draws it.",
        source="colpali issues 11 and 17",
    ),
    "model.activation": Meaning(
        name="activation other than the reference's",
        why="GELU and QuickGELU models have the same names and shapes.",
        effect="weights of one read as the other: 0.4 to 0.6 points of top-1; trained alike, nobody measured it",
        source="open_clip issues 771 and 915, docs/openclip_results.csv",
    ),
    "model.batch_norm_group": Meaning(
        name="BatchNorm over another number of examples", why="Statistics of fewer examples are noisier."
    ),
    "data.train.examples": Meaning(
        name=fewer("examples"),
        why="Copies of one data set differ by what vanished from the web.",
        within=0.01,
        settable=False,
    ),
    "train.seed": Meaning(
        name="another seed", severity="note", why="A seed is worth what two runs differ by.", settable=True
    ),
    "train.gradient_checkpointing": Meaning(name="", why=""),
    "train.schedule.warmup_fraction": Meaning(name="", why=""),
    "train.schedule.warmup_steps": Meaning(name="", why=""),
}
"""Those of no name are no difference, or have a rule of their own (schedule.py)."""

OTHER = Meaning(name="", why="The published run is known to have had another value.")


@rule("differs from the published run", "may differ", "what is known of the published run")
def differs_from_the_published(case: Case) -> Iterator[Seen]:
    if case.reference is None:
        return
    for key, there in case.reference.circumstances.items():
        known, here = value_of(case, key)
        meaning = MEANINGS.get(key, OTHER)
        if not known or equal(here, there, meaning.within) or (meaning is not OTHER and not meaning.name):
            continue
        name = meaning.name(here, there) if callable(meaning.name) else meaning.name
        severity = meaning.severity(here, there) if callable(meaning.severity) else meaning.severity
        yield Seen(
            name=name or f"{key} other than the reference's",
            severity=severity,
            seen=f"{key} {shown(here)}",
            reference=f"{shown(there)} ({case.reference.name})",
            why=meaning.why,
            effect=meaning.effect,
            fix=f"--set {set_of(case, key)}={written(there)}" if meaning.settable else fix_of(key),
            source=meaning.source or case.reference.source,
        )


def value_of(case: Case, key: str) -> tuple[bool, Any]:
    """Is a dotted key of the recipe or the plan known, and what is it?"""
    if key == "data.train.examples":
        return "examples" in case.plan and not case.plan.get("assumed"), case.plan.get("examples")
    if key == "train.precision" and "precision" in case.plan:
        return True, case.plan["precision"]
    if key in case.plan:
        return True, case.plan[key]
    here: Any = case.recipe
    for part in key.split("."):
        if isinstance(here, list):
            here = here[0] if here else None
        if not isinstance(here, Section) or part not in type(here).model_fields:
            return False, None
        here = getattr(here, part)
    if key == "loss.dialect" and here is None:
        return case.recipe.loss.name not in OBJECTIVES, CURRENT
    return True, here


def equal(here: Any, there: Any, within: float) -> bool:
    if isinstance(here, str) and isinstance(there, str) and "/" in there:
        # a local copy of a repository has its name
        return here == there or here.rstrip("/").split("/")[-1] == there.split("/")[-1]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (here, there))
    return math.isclose(here, there, rel_tol=max(within, 1e-9)) if numbers else here == there


def shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def written(value: Any) -> str:
    """As `--set` takes it."""
    text = "null" if value is None else str(value).replace(" ", "")
    return f"'{text}'" if set(text) & set("<>[]") else text


def set_of(case: Case, key: str) -> str:
    """The key with the number of its source, where the recipe has a list."""
    return key.replace("data.train.", "data.train.0.", 1)


def fix_of(key: str) -> str:
    fixes = {
        "negatives_per_query": "the batch and negatives.scope decide it",
        "epochs": "train.steps and train.batch decide it",
        "data.train.examples": "complete the copy, or expect what this copy can give",
    }
    return fixes.get(key, "none by --set")
