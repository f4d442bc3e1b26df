"""Optimiser and learning-rate schedule from the recipe."""

import math

import torch
from torch import nn

from collotype.recipe import Recipe


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW over the trainable parameters; weight decay on matrices only, not on biases and norms."""
    settings = recipe.train.optimizer
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.lr,
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
    )


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of step `step` (from 1): linear warm-up, then linear or cosine decay to zero, or constant."""
    peak, schedule, warmup = recipe.train.optimizer.lr, recipe.train.schedule, recipe.warmup_steps
    if step <= warmup:
        return peak * step / warmup
    progress = (step - 1 - warmup) / max(1, recipe.train.steps - warmup)
    if schedule.name == "linear":
        return peak * (1 - progress)
    if schedule.name == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * progress))
    return peak
