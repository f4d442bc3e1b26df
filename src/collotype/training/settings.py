"""What a recipe's settings of training come to, told without torch."""

import math

from collotype.recipe import Recipe
from collotype.runtime.errors import UserError

EMA = "ema"
"""What is measured and saved of the moving averages ends in it."""


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of step `step` (from 1): linear warm-up, then linear or cosine decay, or constant."""
    peak, schedule, warmup = recipe.train.optimizer.lr, recipe.train.schedule, recipe.warmup_steps
    if step <= warmup:
        return peak * step / warmup
    progress = (step - 1 - warmup) / max(1, recipe.train.steps - warmup)
    if schedule.name == "constant":
        return peak
    left = 1 - progress if schedule.name == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return schedule.final_lr + (peak - schedule.final_lr) * left


def named_precision(name: str, kind: str, bf16: bool) -> str:
    """What `auto` is: bf16 on a GPU that has it, fp16 on one that has not, fp32 on the CPU."""
    return name if name != "auto" else "fp32" if kind != "cuda" else "bf16" if bf16 else "fp16"


def keeps_groups_whole(group: int | None, batch: int, share: int, micro_batch: int) -> bool:
    """
    Args:
        group: examples that share their statistics; None: the model has no BatchNorm.
        share: of one process.
    """
    if group is None:
        return True
    return micro_batch == share if group == batch else share % group == micro_batch % group == 0


def require_whole_groups(group: int, batch: int, share: int, micro_batch: int) -> None:
    """
    Raises:
        UserError: a group would be cut.
    """
    if keeps_groups_whole(group, batch, share, micro_batch):
        return
    if group == batch:
        raise UserError(
            f"BatchNorm needs the statistics of the whole batch ({batch}), but train.micro_batch = {micro_batch} "
            f"divides the {share} examples of a process; leave micro_batch out, or set a smaller group with "
            "model.batch_norm_group."
        )
    raise UserError(
        f"model.batch_norm_group is {group}, which does not divide the micro-batch of {micro_batch} ({share} examples "
        "per process); change the group or the micro-batch, or use fewer processes."
    )
