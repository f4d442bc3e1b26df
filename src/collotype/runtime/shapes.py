"""Models without weights: on torch's device `meta`, without random initialisation."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

IN_PLACE = {"normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_"}
SCALING = {"mul", "div", "__mul__", "__rmul__", "__truediv__"}


class WithoutDraws(TorchFunctionMode):
    """On `meta` random numbers, and their products with a number, have a shape alone: torch would import its compiler
    for them, which takes a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name in IN_PLACE:
            return args[0] if args else kwargs["tensor"]
        if name == "randn":
            return torch.empty(*args, **kwargs)
        if name in SCALING and isinstance(args[0], torch.Tensor) and isinstance(args[1], int | float):
            return torch.empty(args[0].shape)
        return func(*args, **kwargs)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Modules made within have parameters and buffers of the right shapes, and no memory."""
    with torch.device("meta"), WithoutDraws():
        yield
