"""What will make a run's number differ from the published one, found before the run."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from collotype.recipe import Recipe

Severity = Literal["blocks", "will differ", "may differ", "note"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that makes a difference."""

    severity: Severity
    name: str
    seen: str
    reference: str
    why: str
    fix: str
    """As a `--set`, where one does it."""
    source: str


Rule = Callable[[Recipe, dict[str, Any]], Iterator[Finding]]


def find(recipe: Recipe, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Every rule's findings on a recipe and its plan, as dicts, the gravest first."""
    order = ("blocks", "will differ", "may differ", "note")
    found = [finding for rule in RULES for finding in rule(recipe, plan)]
    return [asdict(finding) for finding in sorted(found, key=lambda finding: order.index(finding.severity))]


def half_precision_in_batch_norm(recipe: Recipe, plan: dict[str, Any]) -> Iterator[Finding]:
    if plan["precision"] == "bf16" and "batch_norm_group" in plan:
        yield Finding(
            severity="will differ",
            name="bf16 with BatchNorm",
            seen="precision bf16",
            reference="fp16 with a loss scale, or fp32",
            why="A ResNet's activations between BatchNorms keep 8 bits of mantissa in bf16, and published ResNet CLIPs "
            "were trained in fp16 AMP; on an A100 bf16 was also the slowest (0.73 s a batch against 0.28 in fp16).",
            fix="--set train.precision=fp16",
            source="open_clip issue 184",
        )


def long_warmup(recipe: Recipe, plan: dict[str, Any]) -> Iterator[Finding]:
    part = plan["warmup_steps"] / plan["steps"]
    if recipe.family == "clip" and part > 0.05 and plan["warmup_epochs"] > 1:
        yield Finding(
            severity="may differ",
            name="long warm-up",
            seen=f"{plan['warmup_steps']:,} steps: {plan['warmup_epochs']:.1f} epochs, {part:.0%} of the run",
            reference="1,000 to 2,000 steps for CC3M",
            why="Until the warm-up ends the learning rate is below its peak; of a short run that eats a large part.",
            fix="--set train.schedule.warmup_steps=2000 --set train.schedule.warmup_fraction=0",
            source="open_clip issue 930 (its maintainer's advice)",
        )


def slow_second_moment(recipe: Recipe, plan: dict[str, Any]) -> Iterator[Finding]:
    beta2 = recipe.train.optimizer.beta2
    if recipe.family == "clip" and beta2 >= 0.999:
        yield Finding(
            severity="may differ",
            name="beta2 of 0.999",
            seen=f"beta2 {beta2}",
            reference="0.98 (ViT), 0.99 (ResNet)",
            why="A long memory of squared gradients reacts late when the logit scale sharpens the loss; open_clip's "
            "default for a ResNet is 0.999, for a ViT 0.98.",
            fix="--set train.optimizer.beta2=0.99",
            source="open_clip's get_default_params",
        )


def seen_in_training(recipe: Recipe, plan: dict[str, Any]) -> Iterator[Finding]:
    measured = [one for one in recipe.evaluate if one.suite == "vqav2" and one.of_split == "val"]
    fine_tuned = recipe.family == "beit3" and recipe.model.weights is not None and not recipe.model.new_head
    if fine_tuned and measured and recipe.model.weights.endswith(".pth"):
        yield Finding(
            severity="will differ",
            name="questions that released weights have seen",
            seen=f"{recipe.model.weights} with its head, measured on {measured[0].suite}/{measured[0].own_name}",
            reference="pictures that were held out when the weights were trained; nobody said which 1,000 those were",
            why="Upstream drew its split without a seed and published no list: its fine-tuned weights were trained on "
            "some 97.5 % of any 1,000 pictures of val2014: a user found 86.1 there, where test-dev gives 77.65.",
            fix="--set model.new_head=true, from pretrained weights; or the test split, and EvalAI",
            source="unilm issue 1099; docs/beit3.md",
        )


RULES: tuple[Rule, ...] = (half_precision_in_batch_norm, long_warmup, slow_second_moment, seen_in_training)
