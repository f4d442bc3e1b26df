"""An exponential moving average of the trained weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """average = decay * average + (1 - decay) * weight after every optimiser step (arXiv 1703.01780); starts as the
    weights that training starts from.

    Args:
        decay: from 0 to below 1.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.parameters = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.averages = {name: weight.detach().clone() for name, weight in self.parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        averages, weights = list(self.averages.values()), list[Tensor](self.parameters.values())
        torch._foreach_lerp_(averages, weights, 1 - self.decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block the model has the averages as its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self.parameters.items():
            kept = weight.detach().clone()
            weight.copy_(self.averages[name])
            self.averages[name].copy_(kept)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps; reading it into these tensors goes on from there."""
        return {f"ema.{name}": average for name, average in self.averages.items()}
