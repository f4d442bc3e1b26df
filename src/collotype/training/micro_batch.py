"""`train.micro_batch: auto`: the largest micro-batch that fits into memory."""

from collections.abc import Callable

import torch
from torch import nn

from collotype.runtime.device import memory_limit, peak_memory, reset_peak_memory
from collotype.runtime.process import gather_objects

ROOM = 0.9
"""The part of the memory that may be planned with; examples to come may be larger than those tried."""


def largest_that_fits(
    attempt: Callable[[int], None], share: int, model: nn.Module, device: torch.device, sharded: bool, group: int = 1
) -> int:
    """The largest divisor of `share` whose passes fit into memory, on every process alike; the smallest if none does.

    Two small passes tell how memory grows with the number of examples. The answer that follows is tried before it is
    given, and smaller ones after it where it does not fit after all.

    Args:
        attempt: runs forward and backward on that many examples.
        share: examples of one process per step; group: those that stay together.
        sharded: running out of memory is an error at once, for a process of a sharded model cannot fail alone.
    """
    divisors = [number for number in range(1, share + 1) if share % number == 0 and number % group == 0]
    optimizer_state = 2 * sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    limit = ROOM * memory_limit(device) - optimizer_state
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]

    def needs(examples: int) -> float:
        """Peak memory in bytes of the process that needs most; infinite where there was not enough."""
        reset_peak_memory(device)
        try:
            attempt(examples)
            found = float(peak_memory(device))
        except torch.OutOfMemoryError:
            if sharded:
                raise
            found = float("inf")
        model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        return max(gather_objects(found))

    def enough() -> int:
        if len(divisors) == 1:
            return share
        low, high = divisors[0], divisors[min(len(divisors) - 1, 2)]
        least = needs(low)
        growth = max(0.0, needs(high) - least) / (high - low)
        likely = [number for number in divisors if least + growth * (number - low) <= limit] or [low]
        return next((number for number in reversed(likely) if number == low or needs(number) <= limit), low)

    found = enough()
    for buffer, before in buffers:
        buffer.copy_(before)
    return found
