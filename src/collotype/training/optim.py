"""Makes the optimiser of a recipe."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import nn

from collotype.recipe import Recipe
from collotype.recipe.train import Optimizer as OptimizerSettings
from collotype.runtime.errors import UserError


def make_optimizer(
    model: nn.Module,
    recipe: Recipe,
    blocks: Sequence[nn.Module] = (),
    head: nn.Module | None = None,
    undecayed: Collection[str] = (),
) -> torch.optim.Optimizer:
    """The recipe's optimiser over the trainable parameters.

    Each group has `lr_multiplier`, its part of the schedule's learning rate.

    Args:
        blocks: the layers from the input on; head: what is above them.
        undecayed: names of matrices without weight decay.

    Raises:
        UserError: the recipe's optimiser is not installed or does not run on the model's device.
    """
    settings = recipe.train.optimizer
    groups = parameter_groups(model, settings, blocks, head, undecayed)
    common: dict[str, Any] = {"lr": settings.lr, "betas": (settings.beta1, settings.beta2), "eps": settings.eps}
    if settings.name == "adamw":
        return torch.optim.AdamW(groups, **common, fused=True)
    return paged_adamw_8bit(groups, common)


def paged_adamw_8bit(groups: list[dict[str, Any]], common: dict[str, Any]) -> torch.optim.Optimizer:
    """AdamW with 8-bit states that move to the host when the GPU is full (arXiv 2110.02861, 2305.14314)."""
    require_optimizer("paged_adamw_8bit", groups[0]["params"][0].device)
    from bitsandbytes.optim import PagedAdamW8bit

    return PagedAdamW8bit(groups, **common)


def require_optimizer(name: str, device: torch.device) -> None:
    """
    Raises:
        UserError: the optimiser is not installed or does not run on the device.
    """
    if name != "paged_adamw_8bit":
        return
    if device.type != "cuda":
        raise UserError(
            f"train.optimizer.name is paged_adamw_8bit, which needs a GPU, but this run uses the {device.type}; use "
            "--set train.optimizer.name=adamw."
        )
    try:
        import bitsandbytes.optim  # noqa: F401 - whether it can be
    except ImportError as error:
        raise UserError(
            f"train.optimizer.name is paged_adamw_8bit, but bitsandbytes cannot be imported ({error}); install it with "
            "`pip install 'collotype[bitsandbytes]'`, or use --set train.optimizer.name=adamw."
        ) from error


def parameter_groups(
    model: nn.Module,
    settings: OptimizerSettings,
    blocks: Sequence[nn.Module],
    head: nn.Module | None,
    undecayed: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Trainable parameters by weight decay (matrices only) and learning rate.

    The rate of layer l of L falls as layer_decay^(L - l): embeddings are layer 0, the blocks 1 to L - 1, what comes
    after them L (BEiT, arXiv 2106.08254). A parameter outside the blocks belongs to the layer before it in the model's
    own order.
    """
    top = len(blocks) + 1
    layer_of = {parameter: number for number, block in enumerate(blocks, start=1) for parameter in block.parameters()}
    in_head = set(head.parameters()) if head is not None else set()
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    layer = 0
    for name, parameter in model.named_parameters():
        layer = layer_of.get(parameter, top if layer == len(blocks) > 0 else layer)
        if not parameter.requires_grad:
            continue
        multiplier = settings.layer_decay ** (top - layer) if blocks else 1.0
        multiplier *= settings.head_lr_multiplier if parameter in in_head else 1.0
        decay = settings.weight_decay if parameter.ndim >= 2 and name not in undecayed else 0.0
        groups.setdefault((decay, multiplier), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "lr_multiplier": multiplier}
        for (decay, multiplier), parameters in groups.items()
    ]
