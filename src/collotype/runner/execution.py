"""Runs a recipe: check, train, evaluate, write the record and report."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from collotype.evaluation.results import Measured, Results, results_of, write_results
from collotype.families import task_for
from collotype.preflight.hardware import present
from collotype.preflight.plan import cut
from collotype.preflight.reference import reference_of
from collotype.recipe import Recipe
from collotype.report.html import write_report
from collotype.report.plan import Plan
from collotype.report.record import Record, environment, write_record
from collotype.report.trackers import Tracking
from collotype.report.verdict import judge
from collotype.runner.callbacks import Callback, hooks_for, measure
from collotype.runner.planning import plan_of, resolve, with_findings
from collotype.runner.result import Run
from collotype.runner.run_dir import choose_folder, kept_commits, take_folder
from collotype.runtime.device import peak_memory, pick_device
from collotype.runtime.errors import InterruptedRunError, UserError
from collotype.runtime.files import JsonLines
from collotype.runtime.hub import commits, require_all, used
from collotype.runtime.process import gather_objects, on_main, process_group
from collotype.runtime.world import World
from collotype.training.engine import where_whole
from collotype.training.facts import data_facts, overlaps
from collotype.training.loop import Training, train
from collotype.training.optim import require_optimizer
from collotype.training.precision import resolve_precision
from collotype.training.settings import EMA
from collotype.training.task import Task


def run(
    recipe: str | Path | Recipe,
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    listener: Callback | None = None,
    track: Sequence[str] = (),
    smoke: bool = False,
) -> Run:
    """Checks, trains, evaluates and reports a recipe.

    Args:
        recipe: a built-in name, a file, a run directory, or a Recipe.
        out: the run directory; None: `runs/NAME`.
        overrides: {"train.steps": 8, …}.
        resume: continue from the last complete checkpoint in `out`, if there is one.
        overwrite: delete an existing run in `out` first.
        listener: its methods are called as the run proceeds.
        track: also log the metrics to these trackers (tensorboard, wandb, trackio).
        smoke: run the recipe's smoke form: tiny random weights, a few local rows.

    Returns:
        The finished run, on every process of a launcher.

    Raises:
        UserError: an error that the user can fix; everything written before it is kept.

    Examples:
        Two steps instead of 1,100, without evaluation:

        >>> import collotype
        >>> short = {"train.steps": 2, "evaluate": [], "expect": []}
        >>> run = collotype.run("desk-colpali", out="runs/short", overrides=short)
        >>> sorted(path.name for path in run.folder.iterdir())[2:]
        ['metrics.jsonl', 'model', 'recipe.yaml', 'record.json', 'report.html']
    """
    started, world, listener = time.perf_counter(), World.from_environment(), listener or Callback()
    folder = choose_folder(recipe, out, resume, overwrite)
    recipe, device = resolve(recipe, overrides, smoke), pick_device(world)
    if recipe.study:
        raise UserError(f"{recipe.name} is a study of many runs; use `collotype run` or collotype.run_study().")
    folder, tracking = folder or Path("runs") / recipe.name, Tracking(track)
    with ExitStack() as hold:
        hold.enter_context(commits(kept_commits(folder) if resume else None))
        ready = prepare(recipe, world, device)
        hold.enter_context(process_group(world, device))
        take_folder(hold, folder, recipe, world, resume, overwrite)
        if world.is_main:
            listener.planned(recipe, folder, ready.plan)
        hold.callback(tracking.finish)
        hooks = hooks_for(ready.task, recipe, folder, listener, tracking)
        with resume_hint(folder):
            training = train(ready.task, recipe, folder, world, device, resume, hooks)
        trained = time.perf_counter()
        results = finish(ready.task, recipe, folder, training, listener, world)
        tracking.evaluated(recipe.train.steps, results)
        finished = Run(folder, record_of(recipe, ready, training, folder, timing(started, trained, device), results))
        on_main(world, lambda: conclude(finished, listener))
        return finished


@contextmanager
def resume_hint(folder: Path) -> Iterator[None]:
    """An interruption says how to go on."""
    try:
        yield
    except InterruptedRunError as stop:
        raise InterruptedRunError(f"{stop}; continue with `collotype run {folder} --resume`.") from None


@dataclass(frozen=True)
class Prepared:
    """What is known of a run before it writes anything."""

    task: Task[Any, Any]
    plan: Plan
    data: dict[str, Any]
    """Facts of the data, by dataset."""


def prepare(recipe: Recipe, world: World, device: torch.device) -> Prepared:
    """Checks all that can be checked before a run; nothing is written.

    The cheap comes first: what the recipe alone forbids, then what the hub refuses, then weights, then data.

    Raises:
        UserError: whatever makes the run impossible and can be known before it.
    """
    task = task_for(recipe)
    precision = resolve_precision(recipe.train.precision, device).name
    require_optimizer(recipe.train.optimizer.name, device)
    cut(recipe, world.size)
    task.require_possible()
    require_all([need for needs_of in task.needs().values() for need in needs_of()])
    task.require_weights()
    data, model = data_facts(task, recipe.evaluate), task.describe()
    plan = plan_of(recipe, task, world, present(device), precision, model, data, data["train"]["examples"], data)
    if shared := overlaps(task, recipe.evaluate):
        plan["overlap"] = shared
    return Prepared(task, with_findings(recipe, plan, reference_of(recipe)), data)


def timing(started: float, trained: float, device: torch.device) -> dict[str, Any]:
    """
    Args:
        started, trained: when this process began, and when it had trained.
    """
    return {
        "evaluate_s": round(time.perf_counter() - trained, 2),
        "last_process_s": round(time.perf_counter() - started, 2),
        "peak_memory_mib": gather_objects(round(peak_memory(device) / 2**20, 1)),
    }


def finish(
    task: Task[Any, Any], recipe: Recipe, folder: Path, training: Training, listener: Callback, world: World
) -> Results:
    """Saves the trained model and evaluates it on every suite; then the same with the moving averages, if there are
    some."""

    def measured_and_saved(model: Any, version: str = "") -> list[Measured]:
        def work(world: World) -> list[Measured]:
            with training.context():
                return measure(task, model, recipe.evaluate, world, None if version else folder / "evaluation", version)

        on_main(world, lambda: task.save(model, folder / (f"model-{version}" if version else "model")))
        return where_whole(training.sharded, world, work)

    on_main(world, lambda: listener.evaluating([choice.suite for choice in recipe.evaluate]))
    measured = measured_and_saved(training.model)
    if training.averaged:
        with training.averaged() as model:
            measured += measured_and_saved(model, EMA)
    on_main(world, lambda: write_results(folder / "evaluation", measured))
    return results_of(measured)


def record_of(
    recipe: Recipe,
    ready: Prepared,
    training: Training,
    folder: Path,
    spent: dict[str, Any],
    results: Results,
) -> Record:
    plan, processes = ready.plan, World.from_environment().size
    steps = JsonLines(folder / "metrics.jsonl").read()
    return {
        "recipe": recipe.model_dump(),
        "plan": plan if recipe.train.micro_batch_tokens else {**plan, "micro_batch": training.micro_batch},
        "environment": environment(plan["device"], torch.get_num_threads(), {"processes": processes}),
        "hub": used(),
        "data": ready.data,
        "model": {**ready.task.describe(), "initial_sha256": training.initial_sha256},
        "timing": {"steps_s": round(sum(row["seconds"] for row in steps), 2), **spent},
        "results": results,
        "verdict": judge(recipe, results),
        "events": [*ready.task.events(steps), *training.events],
    }


def conclude(run: Run, listener: Callback) -> None:
    """Writes record.json and report.html."""
    write_record(run.folder, run.record)
    write_report(run.folder)
    listener.finished(run)


def is_main_process() -> bool:
    return World.from_environment().is_main
