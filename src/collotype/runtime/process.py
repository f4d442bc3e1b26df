"""The group of processes a run consists of. Every collective is a no-op without a group."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

from collotype.runtime.errors import UserError

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
def process_group(world: World) -> Iterator[World]:
    """Joins the other processes for the time of the block; the group is destroyed however the block ends."""
    if world.size == 1:
        yield world
        return
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", rank=world.rank, world_size=world.size)
    try:
        yield world
        # nobody leaves while another still talks to it: gloo aborts the one that is left
        dist.barrier()
    finally:
        dist.destroy_process_group()


def grouped() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def barrier() -> None:
    if grouped():
        dist.barrier()


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


def on_main(world: World, work: Callable[[], T]) -> T:
    """Runs `work` on the main process alone; every process gets its value, or raises what it raised."""
    if not grouped():
        return work()
    value, error = None, None
    if world.is_main:
        try:
            value = work()
        except UserError as problem:
            error = problem
    value, error = gather_objects((value, error))[0]
    if error:
        raise error
    return value
