"""Finds damaged weights: values that are not finite, constant matrices."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from collotype.runtime.errors import UserError
from collotype.runtime.model_folder import name_some

FLOATING = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
MAY_BE_ZERO = re.compile(r"\.lora_|\.bn3\.weight$")
"""What training starts from zero: half of an adapter, and the last scale of a ResNet's block."""


def unsound(tensors: Mapping[str, Tensor], origin: str, zero_norms: str = "") -> list[dict[str, Any]]:
    """An event for weights of one value only. Biases may be that, and scales of one; matrices, and scales of zero, are
    not what training leaves.

    Args:
        zero_norms: a pattern of scales that start at zero, since their layer adds one.

    Raises:
        UserError: a value is not finite.
    """
    constant = []
    for name, tensor in tensors.items():
        if tensor.dtype not in FLOATING or tensor.is_meta or not tensor.numel():
            continue
        lowest, highest = (value.item() for value in tensor.aminmax())
        if not abs(lowest) + abs(highest) < float("inf"):
            raise UserError(
                f"{origin}: {name} has values that are not finite ({lowest} to {highest}), so the weights are damaged; "
                "download or save them again."
            )
        if lowest == highest and not may_be_constant(name, tensor, lowest, zero_norms):
            constant.append(f"{name} is {lowest:g} throughout")
    note = f"{name_some(constant)}, in {origin}; what is trained is not: compare it with other copies of the checkpoint"
    return [{"kind": "constant weights", "count": len(constant), "note": note}] if constant else []


def may_be_constant(name: str, tensor: Tensor, value: float, zero_norms: str) -> bool:
    if MAY_BE_ZERO.search(name) or (zero_norms and re.search(zero_norms, name)):
        return True
    matrix = tensor.squeeze().ndim > 1
    return not matrix and (value != 0 or not name.endswith(".weight") or tensor.numel() == 1)
