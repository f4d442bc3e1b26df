"""Rules on the evaluation."""

from collections.abc import Iterator
from typing import Any

from collotype.preflight.context import CheckContext
from collotype.preflight.rules.rule import REPAIRED, Evidence, rule, upstream_rule
from collotype.recipe.expect import Expect


@upstream_rule(
    "no process group to wait in",
    "blocks",
    "unilm issue 1597",
    "the whole test set is answered, 87 minutes in the thread, before it stops; no submission is written",
)
def missing_process_group(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("process_group") == "missing":
        yield Evidence(
            seen=f"{context.imported.launcher}, one process, --eval",
            reference="torchrun --nproc_per_node 1, or a program that needs no group when it is alone",
            why="After the last answer it waits at a barrier of a process group that plain python never made.",
            fix=f"{REPAIRED}: python, torchrun and srun write the same file",
        )


@upstream_rule("launcher's arguments refused", "blocks", "unilm issue 1597")
def refused_process_group(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("process_group") == "refused":
        yield Evidence(
            seen=f"{context.imported.launcher} of torch 2 or later",
            reference="torchrun",
            why="torch.distributed.launch passes --local-rank, and the script's parser knows --local_rank only.",
            fix=f"{REPAIRED}: both spellings are taken",
        )


@upstream_rule("samples counted twice", "may differ", "unilm beit3/datasets.py")
def repeats(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("evaluation_repeats") and context.imported.processes > 1:
        yield Evidence(
            seen=f"--dist_eval on {context.imported.processes} processes",
            reference="every question counted once",
            why="The sampler fills up the last round with examples from the start, and metrics count them again; files "
            "of predictions do not.",
            effect=f"at most {context.imported.processes - 1} examples",
            fix=f"{REPAIRED}: processes share blocks, and every question is answered once",
        )


@upstream_rule("samples left out of validation", "may differ", "unilm beit3/datasets.py")
def drops(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("evaluation_drops"):
        yield Evidence(
            seen="validation drops its last, incomplete batch",
            reference="every question counted once",
            why="The loader of validation is made as that of training.",
            effect="with 16 questions on 8 processes 5,120 of 5,228 are scored",
            fix=REPAIRED,
        )


@upstream_rule("validation images varied as in training", "will differ", "unilm beit3/datasets.py")
def augmented_validation(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("evaluation_augmented"):
        yield Evidence(
            seen="validation with random crops, mirroring and RandAugment",
            reference="the evaluation transform",
            why="The validation loader is built with is_train=True, and the best checkpoint is chosen on that noise.",
            fix=REPAIRED,
        )


@rule(
    "questions that released weights have seen",
    "will differ",
    "unilm issue 1099; docs/beit3.md",
    "a user found 86.1 there, where test-dev gives 77.65",
    training=False,
)
def seen_in_training(context: CheckContext) -> Iterator[Evidence]:
    recipe = context.recipe
    model: Any = recipe.model
    measured = [one for one in recipe.evaluate if one.suite == "vqav2" and getattr(one, "of_split", None) == "val"]
    fine_tuned = recipe.family == "beit3" and model.weights is not None and not model.new_head
    if fine_tuned and measured and model.weights.endswith(".pth"):
        yield Evidence(
            seen=f"{model.weights} with its head, measured on {measured[0].suite}/{measured[0].own_name}",
            reference="images that were held out when the weights were trained; nobody said which 1,000 those were",
            why="Upstream drew its split without a seed and published no list: its fine-tuned weights were trained on "
            "some 97.5 % of any 1,000 images of val2014.",
            fix="--set model.new_head=true, from pretrained weights; or the test split, and EvalAI",
        )


@rule("a tolerance below the spread of seeds", "may differ", "the noise of the published result, or docs/benchmarks.md")
def one_seed(context: CheckContext) -> Iterator[Evidence]:
    for expected in (one for one in context.recipe.expect if isinstance(one, Expect)):
        noise = context.reference.noise_of(expected.dataset, expected.metric) if context.reference else None
        if noise is not None and expected.tolerance < noise - 1e-9:
            yield Evidence(
                seen=f"{expected.metric} of {expected.dataset} within ± {expected.tolerance:g}, one seed",
                reference=f"two runs of it differ by {noise:g}",
                why="A single run may miss or meet the value by chance.",
                fix="collotype run … --seeds 5, whose mean is judged",
            )
