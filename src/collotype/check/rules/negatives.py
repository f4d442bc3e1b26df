"""Among whose pages or captions a query finds its negatives."""

from collections.abc import Iterator

from collotype.check.case import Case
from collotype.check.rules.rule import REPAIRED, Seen, rule, theirs

BIPALI = (
    "BiPali on ViDoRe v1: nDCG@5 34.0 instead of 58.8; desk-bipali: 0.38 instead of 0.64, study-clip: top-1 0.059 "
    "instead of 0.107 (docs/lessons.md)"
)


@theirs("per-process negatives", "will differ", "colpali issue 124", BIPALI)
def negatives_of_a_process(case: Case) -> Iterator[Seen]:
    if case.theirs("negatives_scope") == "process" and case.recipe.negatives.scope == "global":
        had, has = case.theirs("negatives_per_query"), case.plan["negatives_per_query"]
        yield Seen(
            seen=f"{had if had is not None else 'fewer'} negatives per query under {case.origin.launcher} with "
            f"{case.origin.processes} processes",
            reference=f"{has}: the rest of the whole batch",
            why="The loss of each process saw only its own pages. Started by plain python the same script shares the "
            "batch, so the launcher changes the training.",
            fix=f"{REPAIRED}: every query has {has} negatives under any launcher",
        )


@rule("per-process negatives", "will differ", "colpali issue 124; docs/invariance.md", BIPALI)
def negatives_of_a_block(case: Case) -> Iterator[Seen]:
    if case.recipe.negatives.scope == "process" and case.of_reference("negatives.scope") != "process":
        blocks = case.recipe.negatives.processes
        yield Seen(
            seen=f"negatives.scope process, {blocks} blocks: {case.plan['negatives_per_query']} negatives per query",
            reference=f"{case.recipe.train.batch - 1}: the rest of the whole batch",
            why="The recipe asks for what per-device negatives on several processes did to other people's runs.",
            fix="--set negatives.scope=global --set negatives.processes=1",
        )


@rule("no negatives", "blocks", "losses/contrastive.py")
def no_negatives(case: Case) -> Iterator[Seen]:
    if case.recipe.family in ("retriever", "clip") and case.plan["negatives_per_query"] == 0:
        yield Seen(
            seen=f"train.batch {case.recipe.train.batch}: nothing to tell a query's page from",
            reference="two or more examples in a block",
            why="A contrastive loss over one example is constant: nothing is learned.",
            fix="--set train.batch=32",
        )


@theirs("positives of another process", "will differ", "docs/invariance.md, run on colpali-engine 0.3.18")
def misplaced_positives(case: Case) -> Iterator[Seen]:
    if case.theirs("misplaced_positives"):
        yield Seen(
            seen=f"{case.recipe.loss.name} on {case.origin.processes} processes",
            reference="each query's own page as its positive",
            why="The loss takes the diagonal of its scores for the positives and ignores the process's offset: all but "
            "the first process are trained towards the first one's pages.",
            effect="the gradient of two processes is 111 % wrong",
            fix=REPAIRED,
        )


@theirs("hard negatives not shared", "note", "colpali-engine contrastive_trainer.py")
def unshared_explicit_negatives(case: Case) -> Iterator[Seen]:
    if case.theirs("explicit_negatives") and case.origin.processes > 1 and case.was("colpali-engine"):
        yield Seen(
            seen=f"{case.theirs('explicit_negatives')} explicit negatives of each query, seen by that query alone",
            reference="the same here, unless loss.share_negatives says otherwise",
            why="colpali-engine neither gathers them nor lets other queries be pushed from them.",
            fix="none needed; --set loss.share_negatives=true shares them",
        )


@theirs("local loss without gathered gradient", "will differ", "open_clip issues 385 and 616; docs/invariance.md")
def local_loss_without_gradient(case: Case) -> Iterator[Seen]:
    if case.theirs("local_loss") and not case.theirs("gather_with_grad"):
        yield Seen(
            seen="--local-loss without --gather-with-grad",
            reference="both, or neither",
            why="The gradient stops at the gathered features, so each tower is trained as a query only.",
            effect="cosine of the gradient with the right one: 0.89 to 0.95",
            fix=f"{REPAIRED}: the loss is that of the whole batch, and so is its gradient",
        )


@theirs("pages gathered without gradient", "note", "LaCLIP issue 6; facebookresearch/SLIP issues 24 and 31")
def gathered_without_gradient(case: Case) -> Iterator[Seen]:
    if case.was("slip") and case.theirs("gather_with_grad") is False and case.origin.processes > 1:
        yield Seen(
            severity="will differ",
            seen=f"the CLIP loss of {case.origin.processes} processes sees the others' features without their gradient",
            reference="torch.distributed.nn.all_gather, as LaCLIP's published models were trained with",
            why="Each process scores its own examples against all, and no gradient goes back to what was gathered, so "
            "each tower is trained as a query only; open_clip's --local-loss alone does the same.",
            effect="cosine of the gradient with the right one: 0.89 to 0.95",
            fix=f"{REPAIRED}: the loss is that of the whole batch, and so is its gradient",
        )


@theirs("gradient of the towers divided by the processes", "note", "docs/invariance.md, run on open_clip")
def scaled_gradient(case: Case) -> Iterator[Seen]:
    gathered = case.theirs("gather_with_grad") or case.theirs("local_loss")
    if case.was("open_clip") and gathered is False and case.origin.processes > 1:
        yield Seen(
            seen=f"neither --local-loss nor --gather-with-grad on {case.origin.processes} processes",
            reference="the whole gradient",
            why=f"The towers' gradient is 1/{case.origin.processes} of the batch's, in its direction. Adam divides "
            "it out again, so published runs did well with it; clipping and other optimisers do not.",
            effect="none with AdamW beyond its epsilon",
            fix=REPAIRED,
        )


@theirs("gradient of the logit scale too large", "may differ", "open_clip issues 761 and 957; docs/invariance.md")
def scale_gradient(case: Case) -> Iterator[Seen]:
    if (case.theirs("scale_gradient_factor") or 1) > 1:
        factor = case.theirs("scale_gradient_factor")
        yield Seen(
            seen=f"--accum-freq {factor}",
            reference="the gradient of the whole batch",
            why="Each accumulated micro-batch adds the whole loss's gradient to the logit scale; the towers' is right.",
            effect=f"{factor} times the gradient, measured",
            fix=REPAIRED,
        )
