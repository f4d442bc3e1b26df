"""Rules on the optimiser."""

from collections.abc import Iterator

from collotype.preflight.context import CheckContext
from collotype.preflight.rules.rule import Evidence, rule, upstream_rule


@rule(
    "beta2 of 0.999",
    "may differ",
    "open_clip's get_default_params; docs/benchmarks.md",
    "desk-colpali after 400 steps, one seed: nDCG@5 0.54 with 0.999, 0.61 with 0.98",
)
def slow_second_moment(context: CheckContext) -> Iterator[Evidence]:
    beta2 = context.recipe.train.optimizer.beta2
    if context.recipe.family == "clip" and beta2 >= 0.999:
        same = " (the published run had it, too)" if context.of_reference("train.optimizer.beta2") == beta2 else ""
        yield Evidence(
            seen=f"beta2 {beta2}",
            reference=f"0.98 (ViT), 0.99 (ResNet){same}",
            why="A long memory of squared gradients reacts late when the logit scale sharpens the loss; open_clip's "
            "default for a ResNet is 0.999, for a ViT 0.98.",
            fix="--set train.optimizer.beta2=0.99",
        )


@rule("8-bit optimiser without a GPU", "blocks", "bitsandbytes")
def paged_without_gpu(context: CheckContext) -> Iterator[Evidence]:
    if context.recipe.train.optimizer.name == "paged_adamw_8bit" and context.plan["hardware"]["kind"] != "cuda":
        yield Evidence(
            seen=f"train.optimizer.name paged_adamw_8bit on {context.plan['device']}",
            reference="a GPU",
            why="Its states are 8-bit blocks that only a GPU's kernels read.",
            fix="--set train.optimizer.name=adamw",
        )


@upstream_rule("head's learning rate ignored", "will differ", "unilm beit3/optim_factory.py")
def ignored_head_multiplier(context: CheckContext) -> Iterator[Evidence]:
    settings = context.recipe.train.optimizer
    if context.was("beit3") and settings.head_lr_multiplier != 1 and settings.layer_decay < 1:
        yield Evidence(
            seen=f"--task_head_lr_weight {settings.head_lr_multiplier:g} with --layer_decay {settings.layer_decay:g}",
            reference="--layer_decay 1.0, as published for VQAv2",
            why="Upstream takes one or the other: with layer decay the head's factor is silently dropped. Here both "
            "multiply.",
            fix="--set train.optimizer.layer_decay=1.0",
        )
