"""Rules on the length of a run and its learning rate."""

from collections.abc import Iterator

from collotype.preflight.context import CheckContext
from collotype.preflight.rules.data import FEW, MANY
from collotype.preflight.rules.rule import Evidence, rule

CLIP_STEPS = 2000
"""The longest warm-up that was advised for CC3M."""
SHORT = 10
"""Steps of a warm-up that nobody misses."""


@rule("long warm-up", "may differ", "open_clip issue 930, its maintainer's advice")
def long_warmup(context: CheckContext) -> Iterator[Evidence]:
    """More than 5 % of the run; of a CLIP from scratch, also more than an epoch and than was advised (a run of
    1,000 steps gained by half of them: docs/benchmarks.md). Other models from scratch are ours."""
    plan = context.plan
    part, epochs = plan["warmup_steps"] / plan["steps"], plan.get("warmup_epochs", 0)
    published = plan["warmup_steps"] == context.of_reference("train.schedule.warmup_steps")
    clip = context.recipe.family == "clip"
    harmless = not clip or epochs <= 1 or plan["warmup_steps"] <= CLIP_STEPS
    if (
        part <= 0.05
        or plan["warmup_steps"] <= SHORT
        or as_published(context)
        or (context.recipe.model.weights is None and harmless)
    ):
        return
    in_epochs = f"{epochs:.1f} epochs, " if epochs else ""
    steps = min(CLIP_STEPS if clip else plan["steps"], max(1, round(plan["steps"] * 0.025)))
    yield Evidence(
        severity="may differ" if epochs > 1 else "note",
        seen=f"{plan['warmup_steps']:,} steps: {in_epochs}{part:.0%} of the run",
        reference="1,000 to 2,000 steps for CC3M" + (" (the published run had as many as this one)" * published)
        if clip
        else "2.5 % of the run in ColPali's paper",
        why="Until the warm-up ends the learning rate is below its peak, which is a large part of a short run.",
        fix=f"--set train.schedule.warmup_steps={steps} --set train.schedule.warmup_fraction=0",
    )


def as_published(context: CheckContext) -> bool:
    """Does the published run warm up for as many epochs? (BEiT-3's: one of ten.)"""
    said = context.of_reference("warmup_epochs")
    return said is not None and abs(context.plan.get("warmup_epochs", said) - said) < 0.05


@rule(
    "the best epoch before the last",
    "note",
    "facebookresearch/SLIP issue 9; open_clip docs/clip_val_loss.png",
)
def best_before_last(context: CheckContext) -> Iterator[Evidence]:
    examples, epochs = context.plan.get("examples") or 0, context.plan.get("epochs", 0)
    watched = any(choice.every_steps for choice in context.recipe.evaluate) and context.recipe.train.keep_best
    if context.recipe.family == "clip" and FEW <= examples <= MANY and epochs >= 10 and not watched:
        yield Evidence(
            seen=f"{epochs:.0f} epochs over {examples:,} images, of which the last is measured",
            reference="the best of evaluations during training, said to be that",
            why="A few million images are memorised: SLIP's author has the best results on CC3M well before the end of "
            "40 epochs.",
            fix="--set train.keep_best=true, with evaluate.every_steps of an epoch",
        )


@rule("examples that are never seen", "note", "the plan")
def less_than_an_epoch(context: CheckContext) -> Iterator[Evidence]:
    epochs = context.plan.get("epochs")
    if epochs is not None and epochs < 0.98 and context.of_reference("epochs") is None:
        yield Evidence(
            seen=f"{context.plan['steps']:,} steps are {epochs:.2f} epochs",
            reference="one epoch or more",
            why="The other examples are never trained on.",
            fix=f"--set train.steps={-(-context.plan['examples'] // context.recipe.train.batch)}",
        )
