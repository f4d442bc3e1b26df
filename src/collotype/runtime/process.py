"""The process group of a run; every collective is a no-op without a group."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from collotype.runtime.errors import PeerError, UserError
from collotype.runtime.world import World, number

T = TypeVar("T")

DEFAULT_PORT = 29417
JOIN_WITHIN = timedelta(seconds=float(os.environ.get("COLLOTYPE_JOIN_WITHIN_S", "300")))
"""How long the first process waits for the last to start."""
WAIT_FOR_PEERS = timedelta(hours=12)
"""How long the others wait while the main process evaluates or writes."""


def meeting_point(world: World) -> tuple[str, int]:
    """Where the processes find each other: MASTER_ADDR and MASTER_PORT, else srun's launch node, else this machine.

    Raises:
        UserError: several machines, and nothing says which is the first.
    """
    address = os.environ.get("MASTER_ADDR") or os.environ.get("SLURM_LAUNCH_NODE_IPADDR")
    if address is None:
        if world.local_rank != world.rank:
            raise UserError(
                "MASTER_ADDR is not set; on every machine, export it as the first machine's address, and MASTER_PORT."
            )
        address = "127.0.0.1"
    return address, number("MASTER_PORT") if "MASTER_PORT" in os.environ else DEFAULT_PORT


def join(world: World, backend: str) -> None:
    """Joins the default process group.

    Raises:
        UserError: the others were not met in time.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        # torchrun's agent has set the meeting point up and answers for it
        dist.init_process_group(backend, "env://", WAIT_FOR_PEERS, world.size, world.rank)
        return
    address, port = meeting_point(world)
    try:
        store = dist.TCPStore(address, port, world.size, is_master=world.is_main, timeout=JOIN_WITHIN)
    except (dist.DistError, RuntimeError) as error:
        raise UserError(
            f"Process {world.rank} of {world.size} could not reach the others at {address}:{port} "
            f"({str(error).splitlines()[0]}); check the address, that all processes were started, and that no earlier "
            "run still uses the port (set MASTER_PORT to another)."
        ) from error
    dist.init_process_group(backend, None, WAIT_FOR_PEERS, world.size, world.rank, store)


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
    join(world, "nccl" if device.type == "cuda" else "gloo")
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


def gather_objects(value: T) -> list[T]:
    """`value` of every process, by rank."""
    if not grouped():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def gathered(value: T, world: World) -> list[T]:
    """`value` of every process of `world`, which may be one of a group by itself."""
    return gather_objects(value) if world.size > 1 else [value]


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


BUCKET_BYTES = 25 * 2**20
"""Tensors are sent together up to this size: a network likes few large messages."""


def sum_tensors(tensors: list[torch.Tensor]) -> None:
    """Sums each tensor over all processes, in place."""
    if not grouped():
        return
    for bucket in buckets(tensors):
        together = torch.cat([tensor.flatten() for tensor in bucket])
        dist.all_reduce(together)
        parts = together.split([tensor.numel() for tensor in bucket])
        for tensor, part in zip(bucket, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


def buckets(tensors: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """The tensors in order, cut into lists of one type and at most BUCKET_BYTES, one tensor at least."""
    bucket: list[torch.Tensor] = []
    for tensor in tensors:
        size = sum(one.nbytes for one in bucket) + tensor.nbytes
        if bucket and (size > BUCKET_BYTES or tensor.dtype is not bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def raise_on_all_ranks(work: Callable[[], T]) -> T:
    """Runs `work`, which must not communicate, on every process.

    Where it fails on one process it fails on all: there with its own exception, elsewhere with a PeerError.
    """
    if not grouped():
        return work()
    error: Exception | None = None
    try:
        value = work()
    except Exception as problem:
        error = problem
    problems = gather_objects(None if error is None else f"{type(error).__name__}: {error}")
    if error is not None:
        raise error
    for rank, cause in enumerate(problems):
        if cause is not None:
            raise PeerError(f"process {rank} failed: {cause}")
    return value


BLOCK = 64
"""Places of a block: what one process encodes, scores and caches at a time."""


def over_blocks(count: int, world: World, work: Callable[[range], T], block: int = BLOCK) -> list[T]:
    """What `work` gives for each block of `count` places, in order; each block is done by exactly one process.

    Blocks do not depend on the number of processes, so everything is computed in the same batch wherever it is. Every
    process gets all of it. `work` must not communicate.
    """
    blocks = [range(start, min(start + block, count)) for start in range(0, count, block)]
    if world.size == 1:
        return [work(places) for places in blocks]
    own = range(world.rank, len(blocks), world.size)
    parts = gather_objects(raise_on_all_ranks(lambda: {number: work(blocks[number]) for number in own}))
    together = {number: value for part in parts for number, value in part.items()}
    return [together[number] for number in range(len(blocks))]


def on_main(world: World, work: Callable[[], T]) -> T:
    """Runs `work` on the main process alone; every process gets its value, or fails with it."""
    if world.size == 1:
        return work()
    carrier = [raise_on_all_ranks(lambda: [work()] if world.is_main else [])]
    dist.broadcast_object_list(carrier, src=0)
    return carrier[0][0]
