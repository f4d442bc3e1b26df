"""Precision and BatchNorm groups as a recipe's settings resolve to; without torch."""

from collotype.runtime.errors import UserError

EMA = "ema"
"""The suffix of evaluations and files of the moving averages."""


def named_precision(name: str, kind: str, bf16: bool) -> str:
    """Resolves `auto`: bf16 on a GPU that supports it, fp16 on another GPU, fp32 on the CPU."""
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
