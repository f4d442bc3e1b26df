"""What takes the steps."""

from collections.abc import Iterator

from collotype.check.case import Case
from collotype.check.rules.rule import Seen, rule, theirs


@rule(
    "beta2 of 0.999",
    "may differ",
    "open_clip's get_default_params; docs/benchmarks.md",
    "desk-colpali after 400 steps, one seed: nDCG@5 0.54 with 0.999, 0.61 with 0.98",
)
def slow_second_moment(case: Case) -> Iterator[Seen]:
    beta2 = case.recipe.train.optimizer.beta2
    if case.recipe.family == "clip" and beta2 >= 0.999:
        same = " (the published run had it, too)" if case.of_reference("train.optimizer.beta2") == beta2 else ""
        yield Seen(
            seen=f"beta2 {beta2}",
            reference=f"0.98 (ViT), 0.99 (ResNet){same}",
            why="A long memory of squared gradients reacts late when the logit scale sharpens the loss; open_clip's "
            "default for a ResNet is 0.999, for a ViT 0.98.",
            fix="--set train.optimizer.beta2=0.99",
        )


@rule("8-bit optimiser without a GPU", "blocks", "bitsandbytes")
def paged_without_gpu(case: Case) -> Iterator[Seen]:
    if case.recipe.train.optimizer.name == "paged_adamw_8bit" and case.plan["hardware"]["kind"] != "cuda":
        yield Seen(
            seen=f"train.optimizer.name paged_adamw_8bit on {case.plan['device']}",
            reference="a GPU",
            why="Its states are 8-bit blocks that only a GPU's kernels read.",
            fix="--set train.optimizer.name=adamw",
        )


@theirs("head's learning rate ignored", "will differ", "unilm beit3/optim_factory.py")
def ignored_head_multiplier(case: Case) -> Iterator[Seen]:
    settings = case.recipe.train.optimizer
    if case.was("beit3") and settings.head_lr_multiplier != 1 and settings.layer_decay < 1:
        yield Seen(
            seen=f"--task_head_lr_weight {settings.head_lr_multiplier:g} with --layer_decay {settings.layer_decay:g}",
            reference="--layer_decay 1.0, as published for VQAv2",
            why="Upstream takes one or the other: with layer decay the head's factor is silently dropped. Here both "
            "multiply.",
            fix="--set train.optimizer.layer_decay=1.0",
        )
