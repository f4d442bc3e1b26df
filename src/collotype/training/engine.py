"""The training loop. It knows tasks, not pages, captions or answers.

An optimiser step on a global batch of B examples over W processes: each process takes B/W of them, cut in micro-batches
of m; the loss is computed on the outputs of all B; gradients are summed over processes once. The same numbers come out
whatever W and m are (docs/design.md, "The training step").
"""

import functools
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
from collotype.runtime.process import World, agree, gather_objects, on_main, sum_tensors
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
    """How the main process's outside listens: `on_start(steps already done)`, `on_step(row of metrics.jsonl)`, and
    `evaluate(model, step)` after every step but the last. Evaluation comes before the step's checkpoint, so a resumed
    run misses none."""

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
    fingerprint = dataset.fingerprint()
    model = prepare(task.build(), settings.precision, device)
    optimizer = make_optimizer(model, recipe)
    checkpoints = Checkpoints(folder / "checkpoints", settings.keep_checkpoints)
    metrics = JsonLines(folder / "metrics.jsonl")
    training, done = Training(model, state_digest(model)), 0
    if resume:
        done, training.events = on_main(world, lambda: resume_point(checkpoints, fingerprint))
        if done:
            checkpoints.load(done, model, optimizer)
    on_main(world, lambda: begin(metrics, done, hooks))

    def write_down(row: dict[str, Any]) -> None:
        metrics.append(row)
        hooks.on_step(row)
        if row["step"] < settings.steps:
            hooks.evaluate(model, row["step"])

    def keep(step: int) -> None:
        metrics.sync()
        checkpoints.save(step, model, optimizer, {"data": fingerprint, "events": training.events})

    batches = load(task, dataset, recipe, world, first_step=done + 1)
    with stop_requests() as stop:
        for step in range(done + 1, settings.steps + 1):
            began = time.perf_counter()
            micro_batches = to_device(agree(functools.partial(next, batches)), device)
            row = take_step(task, recipe, model, optimizer, micro_batches, world, step)
            row["seconds"] = round(time.perf_counter() - began, 4)
            on_main(world, functools.partial(write_down, row))
            stopping = any(gather_objects(stop()))
            if stopping or step % settings.checkpoint_every == 0 or step == settings.steps:
                on_main(world, functools.partial(keep, step))
            if stopping:
                raise InterruptedRunError(f"Stopped after step {step} of {settings.steps}, the checkpoint is kept")
    return training


def resume_point(checkpoints: Checkpoints, fingerprint: str) -> tuple[int, list[dict[str, Any]]]:
    """The step to go on from, and the events so far.

    Raises:
        UserError: the checkpoint was written on other data.
    """
    done, facts, damaged = checkpoints.newest()
    if done and facts["data"] != fingerprint:
        raise UserError(
            f"{checkpoints.path(done)} was written with other training data ({facts['data'][:12]}, now "
            f"{fingerprint[:12]}); resume with the data it was started with, or start anew with --overwrite."
        )
    found = [{"kind": "damaged checkpoint passed over", "step": step} for step in damaged]
    resumed = [{"kind": "resumed", "step": done}] if done else []
    return done, [*facts.get("events", []), *found, *resumed]


def begin(metrics: JsonLines, done: int, hooks: "Hooks") -> None:
    """Cuts the metrics back to the step the run goes on from."""
    if metrics.keep(through_step=done) < done:
        raise UserError(f"{metrics.path} lacks steps before {done}; start the run anew with --overwrite.")
    hooks.on_start(done)


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
            f"Step {step}: the loss is {value} and the gradient norm {norm}; checkpoints before it are kept. "
            "Start anew in another folder with a lower train.optimizer.lr or with train.clip_grad_norm."
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
        device = loss.value.device
        total += float(loss.value.detach()) * share
        for name, value in loss.metrics.items():
            metrics[name] = metrics.get(name, 0.0) + value * share
    summed = torch.tensor([total, *metrics.values()], dtype=torch.float64, device=device)
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


class Collate:
    """`task.collate`, with a user's error in place of the batch where an example or the batch has one."""

    def __init__(self, task: Task):
        self.task = task

    def __call__(self, examples: list[Any]) -> Batch | UserError:
        for example in examples:
            if isinstance(example, UserError):
                return example
        try:
            return self.task.collate(examples)
        except UserError as error:
            return error


def load(task: Task, dataset: MapDataset, recipe: Recipe, world: World, first_step: int) -> Iterator[list[Batch]]:
    """This process's micro-batches of each step from `first_step` on.

    Raises:
        UserError: an example of this process cannot be read.
    """
    settings = recipe.train
    order = Order(len(dataset), settings.batch, settings.seed)
    cut = MicroBatches(order, world.rank, world.size, settings.micro_batch, first_step, settings.steps)
    loader = DataLoader(
        Examples(dataset),
        batch_sampler=cut,
        collate_fn=Collate(task),
        num_workers=settings.workers,
        generator=torch.Generator(),
    )
    batches = iter(loader)
    for _ in cut.steps:
        micro_batches = list(itertools.islice(batches, cut.per_step))
        for batch in micro_batches:
            if isinstance(batch, UserError):
                raise batch
        yield micro_batches


def prepare(model: nn.Module, precision: str, device: torch.device) -> nn.Module:
    """The model on its device, in the precision its weights are trained in."""
    return model.to(device=device, dtype={"fp32": torch.float32, "fp64": torch.float64}[precision])


def state_digest(model: nn.Module) -> str:
    """A digest of every weight and buffer by name."""
    content = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        content.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()


def to_device(value: Any, device: torch.device) -> Any:
    """Nested lists and dicts of tensors, every tensor on `device`."""
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
