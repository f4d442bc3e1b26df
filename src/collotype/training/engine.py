"""The training loop. It knows tasks, not pages, captions or answers.

An optimiser step on a global batch of B examples over W processes: each process takes B/W of them, cut in micro-batches
of m; the loss is computed on the outputs of all B; gradients are summed over processes once. The same numbers come out
whatever W and m are (docs/design.md, "The training step").
"""

import hashlib
import itertools
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from collotype.recipe import Recipe
from collotype.recipe.schema import Train as TrainSettings
from collotype.runtime.errors import InterruptedRunError, UserError
from collotype.runtime.files import JsonLines
from collotype.runtime.process import World, barrier, gather_objects, sum_tensors
from collotype.runtime.seeds import seed_torch
from collotype.training.negatives import backward_through, in_full, whole_batch_loss
from collotype.training.optim import learning_rate, make_optimizer
from collotype.training.resume import Checkpoints
from collotype.training.sampler import MicroBatches, Order
from collotype.training.task import Batch, Loss, MapDataset, Outputs, Task


@dataclass
class Training:
    """What `train` gives back: the model, and what happened."""

    model: nn.Module
    initial_sha256: str
    """Digest of the weights before the first step."""
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Hooks:
    """How the outside listens: `on_start(steps already done)`, `on_step(row of metrics.jsonl)`, and `evaluate(model,
    step)` after every step but the last, on every process."""

    on_start: Callable[[int], None] = lambda done: None
    on_step: Callable[[dict[str, Any]], None] = lambda row: None
    evaluate: Callable[[nn.Module, int], None] = lambda model, step: None


def train(
    task: Task,
    recipe: Recipe,
    folder: Path,
    world: World,
    device: torch.device,
    resume: bool = False,
    hooks: Hooks = Hooks(),
) -> Training:
    """Trains the task's model for `recipe.train.steps` steps, writing `metrics.jsonl` and `checkpoints/` into `folder`.

    Raises:
        InterruptedRunError: SIGINT or SIGTERM arrived; the step was finished and a checkpoint written.
        UserError: the loss is not finite; a checkpoint belongs to another run; there is no room to write.
    """
    settings, dataset = recipe.train, task.dataset("train")
    model = prepare(task.build(), settings.precision, device)
    optimizer = make_optimizer(model, recipe)
    checkpoints = Checkpoints(folder / "checkpoints", settings.keep_checkpoints)
    metrics = JsonLines(folder / "metrics.jsonl")
    facts, training, done = {"data": dataset.fingerprint()}, Training(model, state_digest(model)), 0
    if resume:
        done, damaged = checkpoints.restore(model, optimizer, facts)
        training.events.append({"kind": "resumed", "step": done})
        training.events += [{"kind": "damaged checkpoint passed over", "step": step} for step in damaged]
    if world.is_main:
        metrics.keep(through_step=done)
        hooks.on_start(done)
    with stop_requests() as stop:
        began = time.perf_counter()
        for step, micro_batches in load(task, dataset, recipe, world, first_step=done + 1):
            row = take_step(task, recipe, model, optimizer, to_device(micro_batches, device), world, step)
            row["seconds"] = round(time.perf_counter() - began, 4)
            if world.is_main:
                metrics.append(row)
                hooks.on_step(row)
            stopping = any(gather_objects(stop()))
            if (stopping or step % settings.checkpoint_every == 0 or step == settings.steps) and world.is_main:
                checkpoints.save(step, model, optimizer, facts)
            barrier()
            if stopping:
                raise InterruptedRunError(f"Stopped after step {step} of {settings.steps}, the checkpoint is kept")
            if step < settings.steps:
                hooks.evaluate(model, step)
            began = time.perf_counter()
    return training


def take_step(
    task: Task,
    recipe: Recipe,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    micro_batches: list[Batch],
    world: World,
    step: int,
) -> dict[str, Any]:
    """One optimiser step on this process's micro-batches; the step's row of metrics, the same on every process.

    Raises:
        UserError: the loss or its gradient is not finite; the weights are left as they were.
    """
    settings, lr = recipe.train, learning_rate(recipe, step)
    loss = backward(task, model, micro_batches, world, settings, step)
    sum_tensors([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), settings.clip_grad_norm or math.inf))
    value = float(loss.value.detach())
    if not (math.isfinite(value) and math.isfinite(norm)):
        raise UserError(
            f"Step {step}: the loss is {value} and the gradient norm {norm}; the last checkpoint is kept. "
            "Lower train.optimizer.lr or set train.clip_grad_norm."
        )
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {"step": step, "loss": value, **loss.metrics, "lr": lr, "grad_norm": norm, "examples": step * settings.batch}


def backward(
    task: Task, model: nn.Module, micro_batches: list[Batch], world: World, settings: TrainSettings, step: int
) -> Loss:
    """Leaves in the parameters this process's part of the batch's gradient; returns the whole batch's loss.

    The random state of micro-batch k (counted over all processes) is seeded by (seed, step, k): the second pass, and
    any other cut into processes, draw the same dropout masks.
    """
    first = world.rank * len(micro_batches)

    def outputs(index: int, graph: bool) -> dict[str, torch.Tensor]:
        seed_torch(settings.seed, "step", step, first + index)
        with torch.set_grad_enabled(graph):
            return task.outputs(model, micro_batches[index])

    model.train()
    if not task.couples_examples:
        parts = (outputs(index, graph=True) for index in range(len(micro_batches)))
        return sum_of_parts(task, parts, settings.batch)
    one_pass = len(micro_batches) == 1
    parts = [outputs(index, graph=one_pass) for index in range(len(micro_batches))]
    loss, gradients = whole_batch_loss(task.loss, parts, world.rank)
    for index, gradient in enumerate(gradients):
        backward_through(parts[index] if one_pass else outputs(index, graph=True), gradient)
    return loss


def sum_of_parts(task: Task, parts: Iterator[Outputs], batch_size: int) -> Loss:
    """The loss of examples that do not know each other: each part's mean, weighted by its share of the batch."""
    total, metrics = 0.0, {}
    for outputs in parts:
        share = len(next(iter(outputs.values()))) / batch_size
        loss = task.loss({name: in_full(tensor) for name, tensor in outputs.items()})
        (loss.value * share).backward()
        total = total + loss.value.detach() * share
        for name, value in loss.metrics.items():
            metrics[name] = metrics.get(name, 0.0) + value * share
    summed = torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in (total, *metrics.values())])
    sum_tensors([summed])
    return Loss(summed[0], dict(zip(metrics, summed[1:].tolist(), strict=True)))


class Examples(Dataset):
    """A MapDataset as torch's DataLoader wants it; a user's error travels back from a worker as a value."""

    def __init__(self, dataset: MapDataset):
        self.dataset = dataset

    def __getitem__(self, key: tuple[int, int]) -> Any:
        try:
            return self.dataset.example(*key)
        except UserError as error:
            return error


def load(
    task: Task, dataset: MapDataset, recipe: Recipe, world: World, first_step: int
) -> Iterator[tuple[int, list[Batch]]]:
    """Each step from `first_step` on, with this process's micro-batches of it."""
    settings = recipe.train

    def collate(examples: list[Any]) -> Batch | UserError:
        return next((e for e in examples if isinstance(e, UserError)), None) or task.collate(examples)

    order = Order(len(dataset), settings.batch, settings.seed)
    cut = MicroBatches(order, world.rank, world.size, settings.micro_batch, first_step, settings.steps)
    loader = DataLoader(
        Examples(dataset),
        batch_sampler=cut,
        collate_fn=collate,
        num_workers=settings.workers,
        generator=torch.Generator(),
    )
    batches = iter(loader)
    for step in cut.steps:
        micro_batches = list(itertools.islice(batches, cut.per_step))
        for batch in micro_batches:
            if isinstance(batch, UserError):
                raise batch
        yield step, micro_batches


def prepare(model: nn.Module, precision: str, device: torch.device) -> nn.Module:
    return model.to(device=device, dtype={"fp32": torch.float32, "fp64": torch.float64}[precision])


def state_digest(model: nn.Module) -> str:
    content = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        content.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()


def to_device(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [to_device(part, device) for part in value]
    if isinstance(value, dict):
        return {name: to_device(part, device) for name, part in value.items()}
    return value.to(device, non_blocking=True)


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Within the block SIGINT and SIGTERM only raise a flag, so that a step is never cut in two; a second one kills."""
    asked = []
    before = {}

    def ask(number: int, frame: Any) -> None:
        asked.append(number)
        signal.signal(number, before[number])

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
