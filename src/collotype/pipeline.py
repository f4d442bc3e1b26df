"""A recipe goes in, a run directory comes out: check, train, evaluate, report."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from collotype.check.plan import Plan, make_plan
from collotype.evaluation.results import Results, write_results
from collotype.families import load, task_for
from collotype.recipe import Recipe, load_recipe, recipe_text
from collotype.report.html import write_report, write_seeds_report
from collotype.report.record import environment, write_record
from collotype.report.spread import spread_of_results
from collotype.report.verdict import judge
from collotype.runtime.device import describe_device, peak_memory_mib, pick_device
from collotype.runtime.errors import InterruptedRunError, UserError
from collotype.runtime.files import JsonLines, write_json, write_text
from collotype.runtime.process import World, gather_objects, on_main, process_group
from collotype.training.engine import Hooks, train
from collotype.training.task import Task


class Listener:
    """What may be told of a run while it goes; silent."""

    def planned(self, recipe: Recipe, folder: Path, plan: Plan) -> None: ...

    def started(self, done: int) -> None: ...

    def stepped(self, row: dict[str, Any]) -> None: ...

    def evaluated(self, step: int, results: Results) -> None: ...

    def evaluating(self, suite: str) -> None: ...

    def finished(self, run: "Run") -> None: ...


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    record: dict[str, Any]

    @property
    def results(self) -> Results:
        return self.record["results"]

    @property
    def verdict(self) -> dict[str, Any] | None:
        return self.record["verdict"]

    @property
    def reproduced(self) -> bool:
        """Nothing that was expected was missed."""
        return self.verdict is None or self.verdict["reproduced"]

    def model(self) -> Any:
        return load(self.folder / "model")


def plan_of(task: Task, recipe: Recipe, world: World, device: torch.device) -> Plan:
    return make_plan(recipe, world.size, describe_device(device), task.describe(), task.negatives_per_query())


def check(recipe: str | Path | Recipe, overrides: Mapping[str, Any] | None = None) -> tuple[Recipe, Plan]:
    """The resolved recipe and its plan on this machine; nothing is trained or written."""
    recipe, world = resolve(recipe, overrides), World.from_environment()
    return recipe, plan_of(task_for(recipe), recipe, world, pick_device(world))


def resolve(recipe: str | Path | Recipe, overrides: Mapping[str, Any] | None) -> Recipe:
    if isinstance(recipe, Recipe):
        if overrides:
            raise UserError("Overrides go with a recipe's name or file; change the Recipe object itself instead.")
        return recipe
    return load_recipe(recipe, overrides)


def run(
    recipe: str | Path | Recipe,
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Run:
    """Checks, trains, evaluates and reports a recipe.

    Args:
        recipe: a built-in name, a file, a run directory, or a Recipe.
        out: the run directory; `runs/NAME` if none.
        overrides: {"train.steps": 8, …}.
        resume: go on from the last whole checkpoint in `out`, if there is one.
        overwrite: delete the run that is in `out` first.

    Raises:
        UserError: whatever the user can fix, in a sentence; what was written before is kept.
    """
    started, world, listener = time.perf_counter(), World.from_environment(), listener or Listener()
    folder = choose_folder(recipe, out, resume)
    recipe, device = resolve(recipe, overrides), pick_device(world)
    folder = folder or Path("runs") / recipe.name
    task = task_for(recipe)
    plan, data = plan_of(task, recipe, world, device), task.data_facts()
    with process_group(world):
        on_main(world, lambda: open_folder(folder, recipe, resume, overwrite))
        if world.is_main:
            listener.planned(recipe, folder, plan)
        try:
            training = train(
                task, recipe, folder, world, device, resume, hooks_for(task, recipe, folder, world, listener)
            )
        except InterruptedRunError as stop:
            raise InterruptedRunError(f"{stop}; go on with `collotype run {folder} --resume`.") from None
        trained = time.perf_counter()
        results = on_main(world, lambda: finish(task, recipe, folder, training.model, listener))
        peaks = gather_objects(round(peak_memory_mib(device), 1))
        parts = {
            "recipe": recipe.model_dump(),
            "plan": plan,
            "environment": environment(plan["device"], torch.get_num_threads(), {"processes": world.size}),
            "data": data,
            "model": {**task.describe(), "initial_sha256": training.initial_sha256},
            "timing": {
                "total_s": round(time.perf_counter() - started, 2),
                "steps_s": round(sum(row["seconds"] for row in JsonLines(folder / "metrics.jsonl").read()), 2),
                "evaluate_s": round(time.perf_counter() - trained, 2),
                "peak_memory_mib": peaks,
            },
            "results": results,
            "verdict": judge(recipe, results),
            "events": training.events,
        }
        on_main(world, lambda: conclude(folder, parts))
        finished = Run(folder, parts)
        if world.is_main:
            listener.finished(finished)
        return finished


def choose_folder(recipe: str | Path | Recipe, out: str | Path | None, resume: bool) -> Path | None:
    """`out`, or the run directory itself that is to be resumed."""
    if out:
        return Path(out)
    is_run = resume and not isinstance(recipe, Recipe) and (Path(recipe) / "recipe.yaml").is_file()
    return Path(recipe) if is_run else None


CUT_BY_HARDWARE = {"train": {"micro_batch", "workers", "checkpoint_every", "keep_checkpoints"}}
"""What may differ between a run and its continuation: it changes no number."""


def open_folder(folder: Path, recipe: Recipe, resume: bool, overwrite: bool) -> None:
    """Makes `folder` this run's, or says why it cannot be.

    Raises:
        UserError: it holds another run, or something that is no run.
    """
    saved = folder / "recipe.yaml"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose another folder with --out.")
    if saved.exists() and overwrite:
        shutil.rmtree(folder)
    elif saved.exists() and not resume:
        raise UserError(
            f"{folder} already holds a run; go on with it with --resume, delete it with --overwrite, or choose another "
            "folder with --out."
        )
    elif saved.exists():
        before = load_recipe(saved)
        if before.model_dump(exclude=CUT_BY_HARDWARE) != recipe.model_dump(exclude=CUT_BY_HARDWARE):
            raise UserError(
                f"{folder} holds a run of another recipe ({differing_keys(before, recipe)} differ); resume it with the "
                f"recipe it has (`collotype run {folder} --resume`) or choose another folder with --out."
            )
    elif folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty and holds no run; choose another folder with --out.")
    if not saved.exists():
        write_text(saved, recipe_text(recipe))


def differing_keys(before: Recipe, now: Recipe) -> str:
    old, new = flatten(before.model_dump()), flatten(now.model_dump())
    return ", ".join(key for key in sorted({*old, *new}) if old.get(key) != new.get(key))


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {k: v for name, part in values.items() for k, v in flatten(part, f"{prefix}.{name}".lstrip(".")).items()}


def hooks_for(task: Task, recipe: Recipe, folder: Path, world: World, listener: Listener) -> Hooks:
    """Tells the listener of every step, and keeps the curve of evaluations during training."""
    curve = JsonLines(folder / "evaluation" / "curve.jsonl")

    def start(done: int) -> None:
        curve.keep(through_step=done)
        listener.started(done)

    def evaluate(model: Any, step: int) -> None:
        due = [e.suite for e in recipe.evaluate if e.every_steps and step % e.every_steps == 0]
        if due:
            on_main(world, lambda: measure(model, step, due))

    def measure(model: Any, step: int, suites: list[str]) -> None:
        results: Results = {}
        for suite in suites:
            results |= task.evaluate(model, suite)
        curve.append({"step": step, "results": results})
        listener.evaluated(step, results)

    return Hooks(start, listener.stepped, evaluate)


def finish(task: Task, recipe: Recipe, folder: Path, model: Any, listener: Listener) -> Results:
    """Saves the trained model and evaluates it on every suite."""
    task.save(model, folder / "model")
    results: Results = {}
    for evaluation in recipe.evaluate:
        listener.evaluating(evaluation.suite)
        results |= task.evaluate(model, evaluation.suite, folder / "evaluation" / evaluation.suite / "examples")
    write_results(folder / "evaluation", results)
    return results


def conclude(folder: Path, parts: dict[str, Any]) -> None:
    write_record(folder, **parts)
    write_report(folder)


def run_seeds(
    recipe: str | Path | Recipe,
    seeds: int,
    out: str | Path | None = None,
    listener: Listener | None = None,
    **settings: Any,
) -> tuple[Path, dict[str, Any]]:
    """Runs a recipe with `seeds` consecutive training seeds, each in its own folder below `out`.

    Returns:
        the folder, with `seeds.json` (mean, spread and the tolerance that follows from it) and `report.html`; and what
        `seeds.json` holds. The verdict is on the mean.
    """
    first = resolve(recipe, settings.pop("overrides", None))
    folder = Path(out or Path("runs") / f"{first.name}-seeds")
    runs = []
    for seed in range(first.train.seed, first.train.seed + seeds):
        one = first.model_copy(update={"train": first.train.model_copy(update={"seed": seed})})
        runs.append(run(one, out=folder / f"seed-{seed}", listener=listener, **settings))
    found = spread_of_results([one.results for one in runs])
    mean = {dataset: {name: values["mean"] for name, values in metrics.items()} for dataset, metrics in found.items()}
    summary = {
        "recipe": first.model_dump(),
        "seeds": list(range(first.train.seed, first.train.seed + seeds)),
        "results": found,
        "verdict": judge(first, mean),
    }
    if is_main_process():
        write_json(folder / "seeds.json", summary)
        write_seeds_report(folder)
    return folder, summary


def is_main_process() -> bool:
    return World.from_environment().is_main
