"""Rules on the initial weights."""

from collections.abc import Iterator
from pathlib import Path

from collotype.preflight.context import CheckContext
from collotype.preflight.rules.rule import REPAIRED, Evidence, rule, upstream_rule
from collotype.runtime.hub import parse


@rule("projection drawn at random", "note", "colpali issues 11 and 17")
def random_projection(context: CheckContext) -> Iterator[Evidence]:
    projection = context.plan.get("projection", {})
    drawn = str(projection.get("from", "")).startswith("init_seed")
    if not drawn:
        return
    same = context.reference is None or context.of_reference("model.weights") in (None, context.recipe.model.weights)
    yield Evidence(
        severity="note" if same else "may differ",
        seen=f"projection from {projection['from']}",
        reference="the same, with a seed nobody published"
        if same and context.reference
        else context.of_reference("model.weights") or "a base that has one, such as vidore/colpaligemma-3b-pt-448-base",
        why="The frozen projection is half of what scores are made of, and an adapter means nothing on another one: it "
        "is saved with the model here, which colpali-engine's adapters leave out.",
        fix="none needed to run it again (model.init_seed fixes it); for a published base --set model.weights=…-base",
    )


@rule("revision of the base not named", "note", "docs/hub.md", "a base that moved took an adapter from 0.24 to 0.17")
def unpinned_base(context: CheckContext) -> Iterator[Evidence]:
    weights = context.recipe.model.weights or ""
    named = parse(weights, "model") if weights else None
    if context.reference is None or named is None or named.revision or Path(weights).exists():
        return
    yield Evidence(
        seen=f"{named.repository}, whatever its main branch is on the day of the run",
        reference="the commit that the published run began with, which nobody published",
        why="The owner of a repository can change its content under the same name, and the number with it.",
        fix=f"the run keeps the commit it has had; to run it again --set model.weights={named.repository}@COMMIT",
    )


@upstream_rule("projection drawn before the seed", "may differ", "colpali issues 11 and 17; colpali-engine's trainer")
def unseeded_projection(context: CheckContext) -> Iterator[Evidence]:
    drawn = str(context.plan.get("projection", {}).get("from", "")).startswith("init_seed")
    if drawn and context.upstream.get("seeded_initialisation") is False:
        yield Evidence(
            seen="new weights drawn before any seed was set",
            reference="new weights that are a function of the seed",
            why="Two runs of the same command start from different projections, and so do two machines.",
            fix=f"{REPAIRED}: model.init_seed draws it",
        )


@upstream_rule("order of examples not seeded", "may differ", "open_clip issues 734 and 776")
def unseeded_order(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("seeded_shuffle") is False:
        yield Evidence(
            seen="examples shuffled by time and process number",
            reference="an order that the seed decides",
            why="The same command twice is two different runs.",
            fix=f"{REPAIRED}: the order is a function of train.seed and the step",
        )


@upstream_rule(
    "head not loaded",
    "will differ",
    "unilm issue 1597",
    "every answer is random, and the exit status is 0",
)
def random_head(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("random_head") and context.was("beit3"):
        yield Evidence(
            seen=f"{context.upstream.get('weights') or context.recipe.model.weights}, which has no head for the task",
            reference="fine-tuned weights, such as beit3_base_patch16_480_vqa.pth",
            why="Missing weights are printed and drawn at random, and the evaluation goes on.",
            fix="give the fine-tuned file: --set model.weights=…; here a missing head is an error before a question is "
            "asked",
        )


@upstream_rule("weights of another run", "will differ", "unilm beit3/run_beit3_finetuning.py")
def stale_checkpoint(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("stale_checkpoint"):
        yield Evidence(
            severity="may differ",
            seen="automatic resuming from the output folder",
            reference="the weights that are named",
            why="Any checkpoint-N.pth that lies in the output folder replaces the weights of the command line, in an "
            "evaluation, too.",
            fix=f"{REPAIRED}: only the named weights are loaded",
        )


@upstream_rule(
    "a pattern of ranks that never applies", "will differ", "peft.utils.other.get_pattern_key, run on 0.21.2"
)
def hidden_pattern(context: CheckContext) -> Iterator[Evidence]:
    if dead := context.upstream.get("dead_patterns"):
        yield Evidence(
            seen=f"{', '.join(dead)} after a more general key",
            reference="the specific keys first",
            why="peft takes the first key of rank_pattern (alpha_pattern) that fits a layer, not the nearest one.",
            fix="write the specific keys before the general ones",
        )


@rule("output folder holds a run", "note", "docs/design.md")
def folder_in_use(context: CheckContext) -> Iterator[Evidence]:
    folder = context.plan.get("folder", {})
    if folder.get("holds"):
        yield Evidence(
            seen=f"{folder['path']} holds {folder['holds']}",
            reference="an empty folder",
            why="A run refuses to use the checkpoints of another run.",
            fix="--resume continues it, --overwrite deletes it, --out chooses another folder",
        )
