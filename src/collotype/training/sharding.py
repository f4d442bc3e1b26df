"""Models larger than one device's memory: sharded weights, recomputed activations.

torch's modules for that take half a second to import, which a run that does not shard should not pay.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from collotype.runtime.world import World
from collotype.training.task import Task


def shard(model: nn.Module, blocks: Sequence[nn.Module], device: torch.device) -> None:
    """Divides weights, gradients and optimiser state among the processes, a block at a time (FSDP2), in place.

    Backward then leaves in each process the mean over processes of its part of the gradients.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def checkpoint_activations(blocks: Sequence[nn.Module], context: Callable[[], AbstractContextManager[Any]]) -> None:
    """Keeps only the inputs of each block for the way back (arXiv 1604.06174), in place.

    Non-reentrant, so gradients also reach a block whose inputs need none (frozen embeddings below LoRA). The second
    forward pass runs within `context`.
    """
    for block in blocks:
        forward = block.forward
        block.forward = lambda *inputs, _forward=forward, **named: checkpoint(
            _forward, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), context()), **named
        )


def whole_model(task: Task[Any, Any], model: nn.Module, world: World) -> nn.Module | None:
    """A plain copy of a sharded model on the main process (none elsewhere); every process must call this."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if not world.is_main:
        return None
    whole: nn.Module = task.build()
    whole.load_state_dict(state, assign=True)
    return whole
