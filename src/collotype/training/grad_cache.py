"""The loss and gradient of the whole batch from micro-batches and processes (gather and gradient cache).

The loss is computed once on the outputs of the whole batch, on every process alike; a process then takes the slice of
the gradient that belongs to its own examples. So the negatives of a query are those of the batch, however it was cut
(gradient caching, arXiv 2101.06983, extended over processes).
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from collotype.runtime.process import gather_objects, gather_tensor, grouped, sum_tensors
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
    if len(parts) == 1:
        return parts[0]
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
    if not result.value.isfinite():
        result.unsound = unsound_places(batch)
    start = sum(length(outputs) for outputs in ranks[:rank])
    gradients = []
    for part in parts:
        gradients.append(
            {
                name: gradient[(slice(start, start + len(tensor)), *(slice(0, n) for n in tensor.shape[1:]))]
                for name, tensor in part.items()
                if (gradient := batch[name].grad) is not None
            }
        )
        start += length(part)
    return result, gradients


def sum_of_parts(
    loss: Callable[[Outputs], Loss], parts: Iterator[Outputs], batch_size: int, rank: int, factor: float
) -> Loss:
    """The loss of examples that do not know each other: each part's mean, weighted by its share of the batch.

    Leaves in the parameters `factor` times the gradient of the own parts' share.
    """
    total, metrics, lengths, unsound = 0.0, dict[str, float](), list[int](), list[int]()
    for outputs in parts:
        share = length(outputs) / batch_size
        part = loss({name: in_full(tensor) for name, tensor in outputs.items()})
        (part.value * (share * factor)).backward()
        device = part.value.device
        total += float(part.value.detach()) * share
        for name, value in part.metrics.items():
            metrics[name] = metrics.get(name, 0.0) + value * share
        if not part.value.isfinite():
            unsound += [sum(lengths) + place for place in unsound_places(outputs)]
        lengths.append(length(outputs))
    summed = torch.tensor([total, *metrics.values()], dtype=torch.float64, device=device)
    sum_tensors([summed])
    if not summed[0].isfinite():
        unsound = [place for places in gather_objects([rank * sum(lengths) + p for p in unsound]) for place in places]
    return Loss(summed[0], dict(zip(metrics, summed[1:].tolist(), strict=True)), unsound)


def length(outputs: Outputs) -> int:
    return len(next(iter(outputs.values())))


def unsound_places(outputs: Outputs) -> list[int]:
    """Where along dimension 0 an output is infinite or no number."""
    sound = [tensor.detach().isfinite().reshape(len(tensor), -1).all(dim=1) for tensor in outputs.values()]
    return (~torch.stack(sound).all(dim=0)).nonzero().flatten().tolist()


def in_full(tensor: Tensor) -> Tensor:
    """Half-precision outputs as float32."""
    half = tensor.is_floating_point() and tensor.dtype not in (torch.float32, torch.float64)
    return tensor.float() if half else tensor


def backward_through(outputs: Outputs, gradients: dict[str, Tensor], factor: float) -> None:
    """Sends `factor` times the loss's gradient on, from the outputs into the model."""
    names = [name for name in gradients if outputs[name].requires_grad]
    scaled = [gradients[name] if factor == 1 else gradients[name] * factor for name in names]
    torch.autograd.backward(
        [outputs[name] for name in names],
        [gradient.to(outputs[name].dtype) for name, gradient in zip(names, scaled, strict=True)],
    )


def sum_gradients(parameters: list[nn.Parameter]) -> None:
    """Sums every parameter's gradient over all processes; where only some processes have one, the others' is zero."""
    if not grouped():
        return
    here = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
    somewhere = here.to(parameters[0].device)
    sum_tensors([somewhere])
    needed = [parameter for parameter, count in zip(parameters, somewhere.tolist(), strict=True) if count]
    for parameter in needed:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    sum_tensors([gradient for parameter in needed if (gradient := parameter.grad) is not None])
