"""The training loop: steps, metrics, evaluations, checkpoints, resuming."""

import functools
import hashlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from collotype.recipe import Recipe, recipe_text
from collotype.runtime.errors import InterruptedRunError, UserError
from collotype.runtime.files import JsonLines
from collotype.runtime.hub import used
from collotype.runtime.process import gather_objects, on_main, raise_on_all_ranks
from collotype.runtime.world import World
from collotype.training.bad_examples import BadExample, BadExampleLog, allowed_bad
from collotype.training.engine import SILENT, Engine, Hooks
from collotype.training.facts import MapDataset
from collotype.training.loader import load
from collotype.training.precision import LossScale
from collotype.training.resume import Checkpoints
from collotype.training.sampler import GlobalBatchSampler, RankMicroBatchSampler
from collotype.training.settings import keeps_groups_whole
from collotype.training.task import Task


@dataclass
class Training:
    """What `train` gives back: the model, and what happened."""

    model: nn.Module
    """Of a sharded run, whole on the main process and a part elsewhere."""
    micro_batch: int
    initial_sha256: str
    """Digest of the weights before the first step."""
    context: Callable[[], AbstractContextManager[Any]]
    """The model computes within it as it did in training."""
    averaged: Callable[[], AbstractContextManager[nn.Module]] | None = None
    """Within it: the model, as `model` is, with the moving averages as its weights. Every process enters it."""
    sharded: bool = False
    events: list[dict[str, Any]] = field(default_factory=list)


def train(
    task: Task[Any, Any],
    recipe: Recipe,
    folder: Path,
    world: World,
    device: torch.device,
    resume: bool = False,
    hooks: Hooks = SILENT,
) -> Training:
    """Trains the task's model for `recipe.train.steps` steps, writing `metrics.jsonl` and `checkpoints/` into `folder`.

    Raises:
        InterruptedRunError: SIGINT or SIGTERM arrived; the step was finished and a checkpoint written.
        UserError: the loss is not finite; a checkpoint belongs to another run; processes have different data; there is
            no room to write.
    """
    settings, datasets = recipe.train, task.datasets()
    fingerprint = fingerprint_of(datasets)
    require_agreement(recipe, fingerprint)
    engine = Engine(task, recipe, world, device)
    order, metrics = engine.order(datasets), JsonLines(folder / "metrics.jsonl")
    checkpoints = Checkpoints(folder / "checkpoints", settings.keep_checkpoints)
    progress = Progress(engine, checkpoints, fingerprint, bad_examples_allowed(recipe, datasets), resume)
    on_main(world, lambda: begin(metrics, progress.done, hooks))
    micro_batch = progress.choose_micro_batch(order)

    def write_down(row: dict[str, Any]) -> None:
        metrics.append(row)
        hooks.on_step(row)

    cut = RankMicroBatchSampler(order, world.rank, world.size, micro_batch, progress.done + 1, settings.steps)
    by_tokens, tolerant, pin = settings.micro_batch_tokens, progress.faults.limit > 0, device.type == "cuda"
    batches = load(task, datasets, cut, settings.workers, by_tokens, tolerant=tolerant, pin=pin)
    with stop_requests() as stop:
        for step in cut.steps:
            began, last = time.perf_counter(), step == settings.steps
            loaded = raise_on_all_ranks(functools.partial(next, batches))
            row = engine.take_step(loaded.micro_batches, step, functools.partial(in_words, order, step))
            row["seconds"] = round(time.perf_counter() - began, 4)
            on_main(world, functools.partial(write_down, row))
            if row.get("skipped"):
                progress.events.append({"kind": "step skipped: fp16 overflow", "step": step})
            improved = not last and hooks.due(step) and progress.improves(step, engine.evaluate(hooks, step))
            stopping = progress.gather(stop(), loaded.faults)
            if stopping or improved or last or step % settings.checkpoint_every == 0:
                on_main(world, metrics.sync)
                progress.save(step)
            if stopping:
                raise InterruptedRunError(f"Stopped after step {step} of {settings.steps}; a checkpoint was written")
    return Training(
        engine.whole_model(),
        cut.micro_batch,
        engine.initial_sha256,
        engine.context,
        engine.averaged if engine.ema else None,
        engine.sharded,
        progress.all_events(),
    )


class Progress:
    """What a run knows beside weights and optimiser state, and keeps in its checkpoints.

    Args:
        fingerprint: of the training data.
        most_bad: how many examples may be unreadable.
        resume: go on from the newest whole checkpoint, if there is one.
    """

    def __init__(self, engine: Engine, checkpoints: Checkpoints, fingerprint: str, most_bad: int, resume: bool):
        self.engine, self.checkpoints, self.fingerprint = engine, checkpoints, fingerprint
        self.done, self.facts = 0, dict[str, Any]()
        self.events: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        """The best evaluation so far, where its checkpoint is kept: its step and value."""
        self.micro_batch = engine.recipe.train.micro_batch
        if resume:
            self.resume()
        self.faults = BadExampleLog(most_bad, {BadExample(*fault) for fault in self.facts.get("faults", ())})

    def resume(self) -> None:
        engine, checkpoints, beside = self.engine, self.checkpoints, self.engine.task.extra_digests()
        self.done, self.facts, self.events = on_main(
            engine.world, lambda: resume_point(checkpoints, self.fingerprint, engine.initial_sha256, beside)
        )
        if self.done:
            checkpoints.load(self.done, engine.model, engine.optimizer, engine.sharded, engine.extra_state())
            engine.scale = LossScale(**self.facts["loss_scale"])
            self.best = self.facts["best"]

    def choose_micro_batch(self, order: GlobalBatchSampler) -> int | None:
        """Of `auto`: what the checkpoint says, if it fits these processes, else what memory allows."""
        if self.micro_batch == "auto":
            batch, group = self.engine.recipe.train.batch, self.engine.task.batch_norm_group
            share, kept = batch // self.engine.world.size, self.facts.get("micro_batch") or 0
            fits = kept and share % kept == 0 and keeps_groups_whole(group, batch, share, kept)
            self.micro_batch = kept if fits else share if group == batch else self.engine.find_micro_batch(order)
        return self.micro_batch

    def improves(self, step: int, value: float | None) -> bool:
        """Is this evaluation the best so far, where the best is kept?"""
        better = value is not None and (self.best is None or value > self.best["value"])
        if not (self.engine.recipe.train.keep_best and better):
            return False
        self.best = {"step": step, "value": value}
        return True

    def gather(self, asked_to_stop: bool, faults: Sequence[BadExample]) -> bool:
        """Adds what every process met in a step; was one of them asked to stop?"""
        gathered = gather_objects((asked_to_stop, faults))
        self.faults.add(fault for _, found in gathered for fault in found)
        return any(asked for asked, _ in gathered)

    def save(self, step: int) -> None:
        engine = self.engine
        facts: dict[str, Any] = {"data": self.fingerprint, "initial_sha256": engine.initial_sha256}
        facts |= {"events": self.events, "loss_scale": vars(engine.scale), "micro_batch": self.micro_batch}
        facts |= {
            "best": self.best,
            "faults": self.faults.saved(),
            "hub": used(),
            "beside": engine.task.extra_digests(),
        }
        kept = self.best["step"] if self.best else None
        optimizer, extra = engine.optimizer, engine.extra_state()
        self.checkpoints.save(step, engine.model, optimizer, facts, engine.world, engine.sharded, kept, extra)

    def all_events(self) -> list[dict[str, Any]]:
        best = [{"kind": "best checkpoint during training", **self.best}] if self.best else []
        return [*self.events, *best, *self.faults.events()]


def bad_examples_allowed(recipe: Recipe, datasets: Sequence[MapDataset]) -> int:
    """How many more of them may be unreadable than are known to be."""
    left_out = sum(dataset.left_out for dataset in datasets)
    return allowed_bad(recipe, left_out + sum(map(len, datasets))) - left_out


def fingerprint_of(datasets: Sequence[MapDataset]) -> str:
    prints = [dataset.fingerprint() for dataset in datasets]
    return prints[0] if len(prints) == 1 else hashlib.sha256(" ".join(prints).encode()).hexdigest()


def require_agreement(recipe: Recipe, fingerprint: str) -> None:
    """
    Raises:
        UserError: another process runs another recipe or sees other data than the main one.
    """
    mine = {"recipe": hashlib.sha256(recipe_text(recipe).encode()).hexdigest(), "training data": fingerprint}
    mine["commits of the hub"] = hashlib.sha256(json.dumps(used()).encode()).hexdigest()
    main, *others = gather_objects(mine)
    for rank, other in enumerate(others, start=1):
        for name, value in other.items():
            if value != main[name]:
                raise UserError(
                    f"The {name} of process {rank} ({value[:12]}) differs from that of process 0 ({main[name][:12]}); "
                    "give every machine the same command and files, and start again."
                )


def resume_point(
    checkpoints: Checkpoints, fingerprint: str, initial_sha256: str, beside: dict[str, str]
) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    """The step to go on from, what its checkpoint says, and the events so far.

    Raises:
        UserError: the checkpoint was written on other data, from other weights to start with, or beside others.
    """
    done, facts, damaged = checkpoints.newest()
    if done and facts["data"] != fingerprint:
        raise UserError(
            f"{checkpoints.path(done)} was written with different training data ({facts['data'][:12]}, now "
            f"{fingerprint[:12]}); resume with the original data, or restart with --overwrite."
        )
    before = facts.get("beside", {})
    if changed := [name for name, now in beside.items() if done and before.get(name) != now]:
        name = changed[0]
        raise UserError(
            f"{checkpoints.path(done)} was written with a different {name} ({before.get(name, '')[:12]}, now "
            f"{beside[name][:12]}); resume with the original {name}, or restart with --overwrite."
        )
    if done and facts["initial_sha256"] != initial_sha256:
        raise UserError(
            f"{checkpoints.path(done)} started from different weights ({facts['initial_sha256'][:12]}, now "
            f"{initial_sha256[:12]}) and contains only the trained ones; resume with the original weights, or restart "
            "with --overwrite."
        )
    found = [{"kind": "damaged checkpoint passed over", "step": step} for step in damaged]
    resumed = [{"kind": "resumed", "step": done}] if done else []
    return done, facts, [*facts.get("events", []), *found, *resumed]


def begin(metrics: JsonLines, done: int, hooks: "Hooks") -> None:
    """Cuts the metrics back to the step the run goes on from."""
    if metrics.keep(through_step=done) < done:
        raise UserError(f"{metrics.path} has no rows for some steps before {done}; restart the run with --overwrite.")
    hooks.on_start(done)


def in_words(order: GlobalBatchSampler, step: int, places: list[int]) -> str:
    """The rows at these places of a step's batch, the first few: "row 17, row 4 of data.train.1"."""
    several = len(order.datasets) > 1
    keys = [order.batch(step)[place] for place in places]
    rows = [f"row {row}" + f" of data.train.{dataset}" * several for dataset, row, _ in keys]
    return ", ".join(rows[:5]) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Within the block SIGINT and SIGTERM only raise a flag, so that a step is never cut in two; a second one kills."""
    asked = []
    before: dict[int, Any] = {}

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
