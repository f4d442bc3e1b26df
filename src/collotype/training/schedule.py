"""The learning rate of each step; without torch, so that a plan can draw it."""

import math

from collotype.recipe import Recipe


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
