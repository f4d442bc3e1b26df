"""Precision of training: autocast, and the loss scale of fp16."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from collotype.runtime.errors import UserError
from collotype.training.settings import named_precision

PrecisionName = Literal["fp32", "bf16", "fp16", "fp64"]


class Float64(TorchFunctionMode):
    """Within it, what model code computes in float32 for accuracy (norms, softmax, rotary angles) is in float64."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        def wider(value: Any) -> Any:
            return torch.float64 if value is torch.float32 else value

        func = torch.Tensor.double if func is torch.Tensor.float else func
        return func(*map(wider, args), **{name: wider(value) for name, value in (kwargs or {}).items()})


@dataclass(frozen=True)
class Precision:
    """`autocast` is the type of matrix products, `frozen` that of weights that are not trained; trained weights are
    float32 (float64 in fp64), and so are losses and scores."""

    name: PrecisionName
    trained: torch.dtype = torch.float32
    autocast: torch.dtype | None = None

    @property
    def frozen(self) -> torch.dtype:
        return self.autocast or self.trained

    def context(self, device: torch.device) -> AbstractContextManager[Any]:
        """For the model's forward pass; the loss stays outside."""
        if self.trained is torch.float64:
            return Float64()
        return torch.autocast(device.type, self.autocast) if self.autocast else nullcontext()

    def place(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model on its device, its weights and floating buffers in their types."""
        model.to(device)
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                buffer = not isinstance(tensor, nn.Parameter)
                tensor.data = tensor.data.to(self.trained if buffer or tensor.requires_grad else self.frozen)
        return model


PRECISIONS: dict[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision("fp32"),
        Precision("fp64", trained=torch.float64),
        Precision("bf16", autocast=torch.bfloat16),
        Precision("fp16", autocast=torch.float16),
    )
}


def resolve_precision(name: str, device: torch.device) -> Precision:
    """The precision of that name on a device.

    Raises:
        UserError: bf16 on a GPU without it.
    """
    name = named_precision(name, device.type, has_bf16(device))
    if name == "bf16" and not has_bf16(device):
        raise UserError(
            f"The precision is bf16, which {torch.cuda.get_device_name(device)} does not support; use auto, fp16 or "
            "fp32 (--set train.precision=fp16, or --precision fp16 of `evaluate`)."
        )
    return PRECISIONS[name]


def has_bf16(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


@dataclass
class LossScale:
    """The factor on gradients in fp16: halved where they overflow, doubled after `GROW_AFTER` steps without (arXiv
    1710.03740, section 3.2). One, and without effect, in every other precision.

    It goes by the gradient norm over all processes, which all of them see alike; torch's GradScaler looks at the
    gradients of its own process.
    """

    START, GROW_AFTER = 2.0**16, 2000

    enabled: bool
    value: float
    good_steps: int = 0

    @classmethod
    def for_precision(cls, precision: Precision) -> "LossScale":
        enabled = precision.autocast is torch.float16
        return cls(enabled, cls.START if enabled else 1.0)

    def can_fall(self) -> bool:
        return self.enabled and self.value > 1

    def fall(self) -> None:
        self.value, self.good_steps = self.value / 2, 0

    def hold(self) -> None:
        """After a step without overflow."""
        self.good_steps += 1
        if self.enabled and self.good_steps % self.GROW_AFTER == 0:
            self.value *= 2
