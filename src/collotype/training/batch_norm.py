"""BatchNorm statistics that do not depend on the hardware.

BatchNorm makes an example's output depend on those it is computed with, so how a batch is cut changes the science. A
recipe names the group whose examples share their statistics; micro-batches are whole groups, or the group is the whole
batch and its statistics are summed over the processes (arXiv 1502.03167; ghost batches: arXiv 1705.08741).
"""

from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional

from collotype.runtime.process import grouped, sum_tensors

M = TypeVar("M", bound=nn.Module)


class GroupedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d with its own statistics for each group of `group` examples of the input [N, C, H, W].

    Running statistics wait for `move_running_statistics`: they move once an optimiser step, towards the mean over all
    groups of the step on all processes. A pass without gradient (the first of gradient caching) adds nothing to them.

    Args:
        group: examples of a group; None: the inputs of all processes are one group.
    """

    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, features: int, group: int | None, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__(features, eps=eps, momentum=momentum)
        self.group = group
        self.waiting: Tensor | None = None
        """Sums over the groups so far, float32 [2, C]: of means and of unbiased variances."""
        self.groups = 0

    @classmethod
    def like(cls, norm: nn.BatchNorm2d, group: int | None) -> "GroupedBatchNorm2d":
        """With the parameters and running statistics of `norm`, the same tensors."""
        assert norm.momentum is not None
        grouped_norm = cls(norm.num_features, group, norm.eps, norm.momentum)
        grouped_norm._parameters, grouped_norm._buffers = norm._parameters, norm._buffers
        return grouped_norm

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return super().forward(inputs)
        if self.group is None and grouped():
            return self.normalise_over_processes(inputs)
        groups = [self.normalise(part) for part in inputs.split(self.group or len(inputs))]
        return groups[0] if len(groups) == 1 else torch.cat(groups)

    def normalise(self, inputs: Tensor) -> Tensor:
        mean, variance = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        # with a momentum of one the running statistics are those of this input
        outputs = functional.batch_norm(inputs, mean, variance, self.weight, self.bias, True, 1.0, self.eps)
        self.note(mean, variance)
        return outputs

    def normalise_over_processes(self, inputs: Tensor) -> Tensor:
        wide = inputs.to(self.running_mean.dtype)
        count = dist.get_world_size() * inputs.numel() // inputs.shape[1]
        mean = all_reduce(wide.sum((0, 2, 3))) / count
        centred = wide - mean[:, None, None]
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        self.note(mean.detach(), variance.detach() * (count / (count - 1)))
        scale = self.weight * (variance + self.eps).rsqrt()
        outputs: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return outputs.to(inputs.dtype)

    def note(self, mean: Tensor, variance: Tensor) -> None:
        """A second computation of the same groups (recomputed activations) leaves the mean over groups as it is."""
        if torch.is_grad_enabled():
            found = torch.stack([mean, variance])
            self.waiting = found if self.waiting is None else self.waiting + found
            self.groups += 1


def group_batch_norm(model: M, group: int | None) -> M:
    """Replaces every BatchNorm2d of the model, in place; parameters, buffers and their names stay."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, GroupedBatchNorm2d.like(child, group))
    return model


def norms_of(model: nn.Module) -> list[GroupedBatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, GroupedBatchNorm2d)]


def move_running_statistics(model: nn.Module) -> None:
    """After an optimiser step; every process calls this."""
    norms = norms_of(model)
    if not norms:
        return
    counts = torch.tensor([norm.groups for norm in norms], dtype=torch.float32, device=norms[0].running_mean.device)
    waiting = [norm.waiting for norm in norms if norm.waiting is not None]
    sum_tensors([counts, *waiting])
    for norm, together, count in zip(norms, waiting, counts.tolist(), strict=True):
        mean, variance = together / count
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance, norm.momentum)
        norm.num_batches_tracked += 1
    forget_statistics(model)


def forget_statistics(model: nn.Module) -> None:
    """Of a step that is not taken."""
    for norm in norms_of(model):
        norm.waiting, norm.groups = None, 0
