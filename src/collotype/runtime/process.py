"""The group of processes a run consists of. Every collective is a no-op without a group."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

from collotype.runtime.errors import PeerError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """rank in [0, size); local_rank counts within one machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Only this process writes files and prints."""
        return self.rank == 0

    @staticmethod
    def from_environment() -> "World":
        """The place a launcher (torchrun and its kin) gave this process; alone without one."""
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            return World()
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        return World(rank, size, int(os.environ.get("LOCAL_RANK", rank)))


@contextmanager
def process_group(world: World, device: torch.device) -> Iterator[World]:
    """Joins the other processes for the time of the block; within another such block it is that group.

    The group is destroyed however the block ends. Backend: nccl where `device` is a GPU, gloo on the CPU.
    """
    if world.size == 1 or dist.is_initialized():
        yield world
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=world.rank, world_size=world.size)
    try:
        yield world
        # nobody leaves while another still talks to it: gloo aborts the one that is left
        dist.barrier()
    finally:
        dist.destroy_process_group()
        # what still points at the group from a cycle would keep gloo's threads alive into the interpreter's shutdown
        gc.collect()


def grouped() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_objects(value: object) -> list[object]:
    """`value` of every process, by rank."""
    if not grouped():
        return [value]
    values: list[object] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def gather_tensor(tensor: torch.Tensor) -> list[torch.Tensor]:
    """`tensor` (same shape everywhere, no gradient) of every process, by rank."""
    if not grouped():
        return [tensor]
    tensor = tensor.contiguous()
    # gloo has no bool
    carried = tensor.to(torch.uint8) if tensor.dtype is torch.bool else tensor
    received = [torch.empty_like(carried) for _ in range(dist.get_world_size())]
    dist.all_gather(received, carried)
    return [part.to(tensor.dtype) for part in received]


def sum_tensors(tensors: list[torch.Tensor]) -> None:
    """Sums each tensor over all processes, in place."""
    if grouped():
        for tensor in tensors:
            dist.all_reduce(tensor)


def agree(work: Callable[[], T]) -> T:
    """Runs `work`, which must not communicate, on every process.

    Where it fails on one process it fails on all: there with its own exception, elsewhere with a PeerError.
    """
    if not grouped():
        return work()
    value, error = None, None
    try:
        value = work()
    except Exception as problem:
        error = problem
    problems = gather_objects(None if error is None else f"{type(error).__name__}: {error}")
    if error is not None:
        raise error
    for rank, problem in enumerate(problems):
        if problem is not None:
            raise PeerError(f"process {rank} failed: {problem}")
    return value


def on_main(world: World, work: Callable[[], T]) -> T:
    """Runs `work` on the main process alone; every process gets its value, or fails with it."""
    value = agree(lambda: work() if world.is_main else None)
    if grouped():
        carrier = [value]
        dist.broadcast_object_list(carrier, src=0)
        return carrier[0]
    return value
