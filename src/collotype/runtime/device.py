"""Which device a process computes on."""

import os

import torch

from collotype.runtime.errors import UserError
from collotype.runtime.process import World


def pick_device(world: World) -> torch.device:
    """This process's GPU where there is one, else the CPU. `COLLOTYPE_DEVICE` overrides it.

    Raises:
        UserError: COLLOTYPE_DEVICE names no device.
    """
    forced = os.environ.get("COLLOTYPE_DEVICE")
    if forced:
        try:
            return torch.device(forced)
        except RuntimeError as error:
            raise UserError(f"COLLOTYPE_DEVICE is {forced!r}, which is no device; use cpu, cuda or cuda:1.") from error
    if torch.cuda.is_available():
        return torch.device("cuda", world.local_rank % torch.cuda.device_count())
    return torch.device("cpu")


def describe_device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def peak_memory_mib(device: torch.device) -> float:
    """The most memory this process has held so far: on the GPU where it computes there, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
