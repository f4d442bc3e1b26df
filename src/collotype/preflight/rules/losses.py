"""Rules on the loss."""

from collections.abc import Iterator
from typing import Any

from collotype.losses.registry import CURRENT, OBJECTIVES
from collotype.preflight.context import CheckContext
from collotype.preflight.rules.rule import Evidence, rule, upstream_rule


@rule(
    "flat pairwise loss",
    "will differ",
    "colpali issue 371; colpali-engine 0.3.11",
    "a perfectly separated batch has a loss of about 0.47, and 0.313 is its floor",
)
def flat_pairwise_loss(context: CheckContext) -> Iterator[Evidence]:
    loss: Any = context.recipe.loss
    current = loss.name == "ColbertPairwiseCELoss" and (loss.dialect or CURRENT) == CURRENT
    if current and loss.normalize is not False and loss.temperature in (None, 1.0):
        yield Evidence(
            seen="ColbertPairwiseCELoss as of colpali-engine >= 0.3.11: normalised scores, temperature 1",
            reference="raw sums, as in ColPali's paper",
            why="Normalised MaxSim lies within ±1, so at temperature 1 the loss can hardly fall and its gradient is "
            "nearly flat. Published checkpoints were trained on raw sums.",
            fix="--set loss.dialect=paper",
        )


@rule("hard negatives where the original had none", "may differ", "colpali issues 84 and 275")
def hard_negatives(context: CheckContext) -> Iterator[Evidence]:
    if (
        context.explicit_negatives
        and context.reference is not None
        and context.of_reference("explicit_negatives") is None
    ):
        loss: Any = context.recipe.loss
        yield Evidence(
            seen=f"{loss.name} with {context.explicit_negatives} explicit negatives a query",
            reference=context.of_reference("loss.name") or "the batch's own pages only",
            why="The hard-negative configurations are experiments beside the published runs: another loss, other data, "
            "and negatives that were never released with the weights.",
            fix="--set data.train='{source: pairs, path: vidore/colpali_train_set}' "
            "--set loss='{name: ColbertPairwiseCELoss, dialect: paper}'",
        )


@rule(
    "a filter that raises negative scores",
    "may differ",
    "docs/invariance.md, run on colpali-engine 0.3.18",
    "a batch of three cosines of -0.10 to -0.21: loss 4.4 without filter, 7.3 with it, 0.5 with `lower`",
)
def raising_filter(context: CheckContext) -> Iterator[Evidence]:
    """MaxSim is hardly ever negative; cosines are."""
    loss: Any = context.recipe.loss
    if getattr(loss, "filter_threshold", None) is None:
        return
    if (loss.filter_formula or ("lower" if loss.name in OBJECTIVES else "multiply")) == "multiply":
        yield Evidence(
            severity="may differ" if getattr(context.recipe.model, "interaction", None) == "single" else "note",
            seen=f"{loss.name}: scores of likely positives multiplied by {loss.filter_factor or 0.5:g}",
            reference="a score that falls whatever its sign",
            why="Half of -0.2 is -0.1: a likely positive with a negative score is pushed away harder than without it.",
            fix="--set loss.filter_formula=lower",
        )


@upstream_rule("loss that stops on several processes", "blocks", "docs/invariance.md, run on colpali-engine 0.3.18")
def loss_that_crashes(context: CheckContext) -> Iterator[Evidence]:
    names, loss = ("ColbertSigmoidLoss", "BiPairedEncoderLoss"), getattr(context.recipe.loss, "name", "")
    if context.was("colpali-engine") and context.imported.processes > 1 and loss in names:
        yield Evidence(
            seen=f"{loss} on {context.imported.processes} processes",
            reference="one process",
            why="Its targets have the size of one process's batch, its scores that of all: it stops at the first step.",
            fix="nothing to do: every loss is computed on the whole batch",
        )
