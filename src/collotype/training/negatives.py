"""The whole batch's loss from parts that were computed apart: over micro-batches and over processes.

The loss is computed once on the outputs of the whole batch, on every process alike; a process then takes the slice of
the gradient that belongs to its own examples. So the negatives of a query are those of the batch, however it was cut
(gradient caching, arXiv 2101.06983, extended over processes).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from collotype.runtime.process import gather_objects, gather_tensor
from collotype.training.task import Loss, Outputs


def pad_to(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`tensor` in the corner of a zero (false) tensor of that shape."""
    if tuple(tensor.shape) == shape:
        return tensor
    padded = tensor.new_zeros(shape)
    padded[tuple(slice(0, size) for size in tensor.shape)] = tensor
    return padded


def widest(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(max(sizes) for sizes in zip(*shapes, strict=True))


def concatenate(parts: list[Outputs]) -> Outputs:
    """The parts one after the other along dimension 0, other dimensions padded to the widest part."""
    joined = {}
    for name in parts[0]:
        tensors = [part[name] for part in parts]
        width = widest([tuple(tensor.shape[1:]) for tensor in tensors])
        joined[name] = torch.cat([pad_to(tensor, (len(tensor), *width)) for tensor in tensors])
    return joined


def gather(outputs: Outputs) -> list[Outputs]:
    """`outputs` of every process, by rank, without gradient."""
    shapes = gather_objects({name: tuple(tensor.shape) for name, tensor in outputs.items()})
    ranks: list[Outputs] = [{} for _ in shapes]
    for name, tensor in outputs.items():
        common = widest([shape[name] for shape in shapes])
        for rank, received in enumerate(gather_tensor(pad_to(tensor, common))):
            ranks[rank][name] = received[: shapes[rank][name][0]]
    return ranks


def whole_batch_loss(
    loss: Callable[[Outputs], Loss], parts: list[Outputs], rank: int
) -> tuple[Loss, list[dict[str, Tensor]]]:
    """The loss on all parts of all processes, and its gradient with respect to each own part's outputs.

    The loss is computed in float32 (float64 where the outputs are). Masks and other whole numbers get no gradient.
    """
    own = concatenate([{name: tensor.detach() for name, tensor in part.items()} for part in parts])
    ranks = gather(own)
    batch = {
        name: in_full(tensor).requires_grad_(tensor.is_floating_point()) for name, tensor in concatenate(ranks).items()
    }
    with torch.enable_grad():
        result = loss(batch)
        result.value.backward()
    start = sum(len(next(iter(outputs.values()))) for outputs in ranks[:rank])
    gradients = []
    for part in parts:
        count = len(next(iter(part.values())))
        gradients.append(
            {
                name: batch[name].grad[(slice(start, start + count), *(slice(0, n) for n in tensor.shape[1:]))]
                for name, tensor in part.items()
                if batch[name].grad is not None
            }
        )
        start += count
    return result, gradients


def in_full(tensor: Tensor) -> Tensor:
    """Half-precision outputs as float32; a fresh tensor in any case."""
    half = tensor.is_floating_point() and tensor.dtype not in (torch.float32, torch.float64)
    return tensor.float() if half else tensor.clone()


def backward_through(outputs: Outputs, gradients: dict[str, Tensor]) -> None:
    """Sends the loss's gradient on, from the outputs into the model."""
    names = [name for name in gradients if outputs[name].requires_grad]
    torch.autograd.backward(
        [outputs[name] for name in names], [gradients[name].to(outputs[name].dtype) for name in names]
    )
