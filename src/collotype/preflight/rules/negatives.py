"""Rules on the negatives of a query."""

from collections.abc import Iterator

from collotype.preflight.context import CheckContext
from collotype.preflight.rules.rule import REPAIRED, Evidence, rule, upstream_rule

BIPALI = (
    "BiPali on ViDoRe v1: nDCG@5 34.0 instead of 58.8; desk-bipali: 0.38 instead of 0.64, study-clip: top-1 0.059 "
    "instead of 0.107 (docs/lessons.md)"
)


@upstream_rule("per-process negatives", "will differ", "colpali issue 124", BIPALI)
def negatives_of_a_process(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("negatives_scope") == "process" and context.recipe.negatives.scope == "global":
        had, has = context.upstream.get("negatives_per_query"), context.plan["negatives_per_query"]
        yield Evidence(
            seen=f"{had if had is not None else 'fewer'} negatives per query under {context.imported.launcher} with "
            f"{context.imported.processes} processes",
            reference=f"{has}: the rest of the whole batch",
            why="The loss of each process saw only its own pages. Started by plain python the same script shares the "
            "batch, so the launcher changes the training.",
            fix=f"{REPAIRED}: every query has {has} negatives under any launcher",
        )


@rule("per-process negatives", "will differ", "colpali issue 124; docs/invariance.md", BIPALI)
def negatives_of_a_block(context: CheckContext) -> Iterator[Evidence]:
    if context.recipe.negatives.scope == "process" and context.of_reference("negatives.scope") != "process":
        blocks = context.recipe.negatives.processes
        yield Evidence(
            seen=f"negatives.scope process, {blocks} blocks: {context.plan['negatives_per_query']} negatives per query",
            reference=f"{context.recipe.train.batch - 1}: the rest of the whole batch",
            why="This recipe reproduces the effect of per-device negatives on several processes.",
            fix="--set negatives.scope=global --set negatives.processes=1",
        )


@rule("no negatives", "blocks", "losses/contrastive.py")
def no_negatives(context: CheckContext) -> Iterator[Evidence]:
    if context.recipe.family in ("retriever", "clip") and context.plan["negatives_per_query"] == 0:
        yield Evidence(
            seen=f"train.batch {context.recipe.train.batch}: no other page to compare a query's page with",
            reference="two or more examples in a block",
            why="A contrastive loss over one example is constant: nothing is learned.",
            fix="--set train.batch=32",
        )


@upstream_rule("positives of another process", "will differ", "docs/invariance.md, run on colpali-engine 0.3.18")
def misplaced_positives(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("misplaced_positives"):
        yield Evidence(
            seen=f"{getattr(context.recipe.loss, 'name', 'the loss')} on {context.imported.processes} processes",
            reference="each query's own page as its positive",
            why="The loss takes the diagonal of its scores for the positives and ignores the process's offset: all but "
            "the first process are trained towards the first one's pages.",
            effect="the gradient of two processes is 111 % wrong",
            fix=REPAIRED,
        )


@upstream_rule("hard negatives not shared", "note", "colpali-engine contrastive_trainer.py")
def unshared_explicit_negatives(context: CheckContext) -> Iterator[Evidence]:
    count = context.upstream.get("explicit_negatives")
    if count and context.imported.processes > 1 and context.was("colpali-engine"):
        yield Evidence(
            seen=f"{count} explicit negatives of each query, seen by that query alone",
            reference="the same here, unless loss.share_negatives says otherwise",
            why="colpali-engine neither gathers them nor lets other queries be pushed from them.",
            fix="none needed; --set loss.share_negatives=true shares them",
        )


@upstream_rule(
    "local loss without gathered gradient", "will differ", "open_clip issues 385 and 616; docs/invariance.md"
)
def local_loss_without_gradient(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("local_loss") and not context.upstream.get("gather_with_grad"):
        yield Evidence(
            seen="--local-loss without --gather-with-grad",
            reference="both, or neither",
            why="The gradient stops at the gathered features, so each tower is trained as a query only.",
            effect="cosine of the gradient with the right one: 0.89 to 0.95",
            fix=f"{REPAIRED}: the loss is that of the whole batch, and so is its gradient",
        )


@upstream_rule("pages gathered without gradient", "note", "LaCLIP issue 6; facebookresearch/SLIP issues 24 and 31")
def gathered_without_gradient(context: CheckContext) -> Iterator[Evidence]:
    if context.was("slip") and context.upstream.get("gather_with_grad") is False and context.imported.processes > 1:
        yield Evidence(
            severity="will differ",
            seen=f"the CLIP loss of {context.imported.processes} processes sees the others' features without their "
            "gradient",
            reference="torch.distributed.nn.all_gather, as LaCLIP's published models were trained with",
            why="Each process scores its own examples against all, and no gradient goes back to what was gathered, so "
            "each tower is trained as a query only; open_clip's --local-loss alone does the same.",
            effect="cosine of the gradient with the right one: 0.89 to 0.95",
            fix=f"{REPAIRED}: the loss is that of the whole batch, and so is its gradient",
        )


@upstream_rule("gradient of the towers divided by the processes", "note", "docs/invariance.md, run on open_clip")
def scaled_gradient(context: CheckContext) -> Iterator[Evidence]:
    gathered = context.upstream.get("gather_with_grad") or context.upstream.get("local_loss")
    if context.was("open_clip") and gathered is False and context.imported.processes > 1:
        yield Evidence(
            seen=f"neither --local-loss nor --gather-with-grad on {context.imported.processes} processes",
            reference="the whole gradient",
            why=f"The towers' gradient is 1/{context.imported.processes} of the batch's, in its direction. Adam "
            "divides it out again, so published runs did well with it; clipping and other optimisers do not.",
            effect="none with AdamW beyond its epsilon",
            fix=REPAIRED,
        )


@upstream_rule(
    "gradient of the logit scale too large", "may differ", "open_clip issues 761 and 957; docs/invariance.md"
)
def scale_gradient(context: CheckContext) -> Iterator[Evidence]:
    if (context.upstream.get("scale_gradient_factor") or 1) > 1:
        factor = context.upstream.get("scale_gradient_factor")
        yield Evidence(
            seen=f"--accum-freq {factor}",
            reference="the gradient of the whole batch",
            why="Each accumulated micro-batch adds the whole loss's gradient to the logit scale; the towers' is right.",
            effect=f"{factor} times the gradient, measured",
            fix=REPAIRED,
        )
