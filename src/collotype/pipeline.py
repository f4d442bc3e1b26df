"""A recipe goes in, a run directory comes out: check, train, evaluate, report."""

import functools
import json
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from collotype.check.case import Case
from collotype.check.effects import CUTS_THE_WORK, EFFECTS
from collotype.check.findings import find
from collotype.check.hardware import Hardware, named, present
from collotype.check.plan import Plan, cut, make_plan
from collotype.check.published_data import beside_published, published_examples
from collotype.check.reference import nearest, reference_of
from collotype.evaluation.results import Measured, Results, headline, results_of, write_results
from collotype.families import load, task_for
from collotype.recipe import Recipe, load_recipe, recipe_text
from collotype.recipe.imports import Origin
from collotype.recipe.schema import Evaluate
from collotype.report.compare import Comparison, compare, differences
from collotype.report.html import write_report
from collotype.report.published import Published
from collotype.report.published.expectations import with_numbers
from collotype.report.record import environment, write_record
from collotype.report.track import Tracking
from collotype.report.verdict import judge
from collotype.runtime.device import peak_memory, pick_device
from collotype.runtime.dry import dry
from collotype.runtime.errors import InterruptedRunError, UserError
from collotype.runtime.files import (
    PARTIAL,
    JsonLines,
    held,
    remove,
    room_to_write,
    sweep_partial,
    write_json,
    write_text,
)
from collotype.runtime.hub import Need, NotFetchedError, commits, require_all, used
from collotype.runtime.hub.needs import facts_of as fetch_facts
from collotype.runtime.hub.needs import require_room_for
from collotype.runtime.process import World, gather_objects, on_main, process_group
from collotype.training.engine import EMA, Hooks, Training, train, where_whole
from collotype.training.measure import measure_step
from collotype.training.optim import require_optimizer
from collotype.training.precision import named_precision, resolve_precision
from collotype.training.task import Task, data_facts, overlaps

T = TypeVar("T")
OF_TRAINING = "data.train.examples"
"""Among a published run's circumstances."""
WAIT_FOR_LOADERS_S = 7
"""How long the loader processes of a killed run may go on holding its folder."""


class Listener:
    """What may be told of a run while it goes; silent."""

    def planned(self, recipe: Recipe, folder: Path, plan: Plan) -> None: ...

    def started(self, done: int) -> None: ...

    def stepped(self, row: dict[str, Any]) -> None: ...

    def evaluated(self, step: int, results: Results) -> None: ...

    def evaluating(self, suites: list[str]) -> None: ...

    def finished(self, run: "Run") -> None: ...


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, and what its `record.json` says.

    Examples:
        >>> import collotype
        >>> run = collotype.run(
        ...     "desk-colpali", out="runs/tiny", overrides={"train.steps": 1, "evaluate": [], "expect": []}
        ... )
        >>> run.reproduced  # nothing was expected
        True
        >>> run.record["recipe"]["train"]["batch"]
        32
        >>> type(run.model()).__name__
        'Retriever'
    """

    folder: Path
    record: dict[str, Any]

    @property
    def results(self) -> Results:
        """The metrics by dataset: {"sheets/held-out": {"ndcg_at_5": 0.995, …}}."""
        return self.record["results"]

    @property
    def verdict(self) -> dict[str, Any] | None:
        """What was expected beside what came out; none where a recipe expects nothing."""
        return self.record["verdict"]

    @property
    def reproduced(self) -> bool:
        """Nothing that was expected was missed."""
        return self.verdict is None or self.verdict["reproduced"]

    def model(self) -> Any:
        """The trained model, as of `load`."""
        return load(self.folder / "model")


def prepare(recipe: Recipe, world: World, device: torch.device) -> tuple[Task[Any, Any], Plan, dict[str, Any]]:
    """The recipe's task, its plan on this hardware, and the facts of its data; nothing is written.

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
    plan |= overlaps(task, recipe.evaluate)
    return task, with_findings(recipe, plan, reference_of(recipe)), data


def plan_of(
    recipe: Recipe,
    task: Task[Any, Any],
    world: World,
    device: tuple[str, Hardware],
    precision: str | None,
    model: dict[str, Any],
    data: dict[str, Any],
    examples: int | None,
    datasets: Collection[str] | None,
) -> Plan:
    endings = ("",) if recipe.train.ema_decay is None else ("", f"@{EMA}")
    versions = (
        None if datasets is None else [f"{name}{ending}" for ending in endings for name in datasets if name != "train"]
    )
    plan = make_plan(
        recipe,
        processes=world.size,
        device=device[0],
        precision=precision,
        hardware=device[1],
        model=model,
        negatives_per_query=task.negatives_per_query(),
        examples=examples,
        datasets=versions,
        metrics=task.metrics(),
        faults=data.get("train", {}).get("faults", {}),
    )
    return {**plan, "data": beside_published(data, recipe.data.train)}


def with_findings(recipe: Recipe, plan: Plan, reference: Published | None, origin: Origin | None = None) -> Plan:
    case = Case(recipe=recipe, plan=plan, reference=reference, origin=origin)
    return {**plan, **({"reference": reference.name} if reference else {}), "findings": find(case)}


def check(
    recipe: str | Path | Recipe,
    overrides: Mapping[str, Any] | None = None,
    smoke: bool = False,
    origin: Origin | None = None,
    against: str | None = None,
    card: str | None = None,
    measure: bool = False,
    online: bool = False,
) -> tuple[Recipe, Plan]:
    """The resolved recipe and its plan; nothing is trained or written, no network is asked, and weights are not read.

    What cannot be known without data or weights that are not here is missing in the plan, named in its `unknown` with
    the reason, and a finding.

    Args:
        origin: what the recipe was imported from.
        against: the published result to hold it against; none: the one that the recipe expects, or, of an imported one,
            the nearest.
        card: plan for this GPU (V100, T4, A100-40GB, …) instead of the device that is here.
        measure: calibrate time and memory by a measured micro-batch, for which data and weights are read.
        online: ask the hub what a run will fetch, and whether it will be given; small files that tell it are fetched.

    Raises:
        UserError: the recipe is impossible whatever the machine has; no such card or published result.
    """
    recipe, world = resolve(recipe, overrides, smoke), World.from_environment()
    device, settings = pick_device(world), origin.settings if origin else {}
    where = named(card or settings["device"]) if card or "device" in settings else present(device)
    bf16 = where[1].get("capability", [0]) >= [8, 0]
    precision = named_precision(recipe.train.precision, where[1]["kind"], bf16)
    evaluates_only, reference = settings.get("evaluates_only", False), reference_of(recipe, against)
    task, known = task_for(recipe), Known()
    with dry(), commits():
        if "unknown_model" not in settings:
            known.ask("weights", task.require_weights)
        if "weights" in known.unknown:
            known.ask("model", task.stand_in)
        nameless = "model" in known.unknown or "unknown_model" in settings
        model = task.framing() if nameless else known.ask("model", task.describe) or {}
        train = {} if evaluates_only else known.ask("data.train", task.train_facts) or {}
        facts = {"train": train} if train else {}
        for number, choice in enumerate(() if evaluates_only else recipe.evaluate):
            facts |= known.ask(f"evaluate.{number}", functools.partial(task.facts_of, choice)) or {}
        here = [one for number, one in enumerate(recipe.evaluate) if f"evaluate.{number}" not in known.unknown]
        shared = overlaps(task, here) if train else {}
    with commits():
        needs = {name: of for name, of in task_for(recipe).needs().items() if name == "weights" or not evaluates_only}
        fetch = asked_of_hub(needs, known) if online and "unknown_model" not in settings else None
    whole = not known.unknown and not evaluates_only
    assumed = published_examples(recipe.data.train) or settings.get("examples")
    assumed = assumed or (reference and reference.circumstances.get(OF_TRAINING))
    examples = train.get("examples") or assumed
    plan = plan_of(recipe, task, world, where, precision, model, facts, examples, facts if whole else None)
    plan |= {
        "folder": folder_facts(Path("runs") / recipe.name),
        "unknown": known.unknown,
        "fetched": sorted(known.fetched),
        **({"fetch": fetch} if fetch else {}),
        **shared,
    }
    if examples and not train:
        plan["assumed"] = {"examples": "as published"}
    if measure and whole and not card:
        measured = measure_step(task_for(recipe), recipe, world, device)
        plan |= {"micro_batch": measured.pop("micro_batch"), "estimate": {**plan["estimate"], **measured}}
    if origin and not reference and not evaluates_only:
        reference = nearest(recipe, plan)
    if evaluates_only:
        # of a model that is published its name is enough to say how it was evaluated
        known.unknown.pop("model", None)
    return recipe, with_findings(recipe, plan, reference, origin)


class Known:
    """Facts, and why those are not known that nobody can tell here."""

    def __init__(self) -> None:
        self.unknown: dict[str, str] = {}
        self.fetched: set[str] = set()
        """Those of them that a run fetches by itself."""

    def ask(self, name: str, fact: Callable[[], T]) -> T | None:
        try:
            return fact()
        except UserError as error:
            if name.startswith("data.") and self.unknown.get("model") == str(error):
                # a shape that follows from the data is unknown for the data's reason
                del self.unknown["model"]
            # data that waits for weights has no cause of its own
            if str(error) not in self.unknown.values():
                self.unknown[name] = str(error)
                self.fetched = self.fetched - {name} | ({name} if isinstance(error, NotFetchedError) else set())
            return None


def granted(needs_of: Callable[[], list[Need]]) -> list[Need]:
    """
    Raises:
        UserError: the hub would not give them.
    """
    needs = needs_of()
    for need in needs:
        need.require_access()
    return needs


def asked_of_hub(wanted: Mapping[str, Callable[[], list[Need]]], known: Known) -> dict[str, Any]:
    """For a plan: what a run fetches; what the hub refuses joins what is not here."""
    parts = [known.ask(name, functools.partial(granted, needs_of)) or [] for name, needs_of in wanted.items()]
    needs = [need for part in parts for need in part]
    known.ask("room", functools.partial(require_room_for, needs))
    return fetch_facts(needs)


def folder_facts(folder: Path) -> dict[str, Any]:
    """What is in the folder that a run would take, and how much room there is."""
    is_run = (folder / "recipe.yaml").is_file()
    holds = "a finished run" if (folder / "record.json").is_file() else "a run that has not ended"
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free // 2**20
    return {"path": str(folder), "free_mib": free, **({"holds": holds} if is_run else {})}


def resolve(recipe: str | Path | Recipe, overrides: Mapping[str, Any] | None, smoke: bool = False) -> Recipe:
    """The recipe with overrides, and with numbers in the places of published results it names."""
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides, smoke)
    elif overrides or smoke:
        raise UserError("Overrides go with a recipe's name or file; change the Recipe object itself instead.")
    return with_numbers(recipe)


def run(
    recipe: str | Path | Recipe,
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
    track: Sequence[str] = (),
    smoke: bool = False,
) -> Run:
    """Checks, trains, evaluates and reports a recipe.

    Args:
        recipe: a built-in name, a file, a run directory, or a Recipe.
        out: the run directory; `runs/NAME` if none.
        overrides: {"train.steps": 8, …}.
        resume: go on from the last whole checkpoint in `out`, if there is one.
        overwrite: delete the run that is in `out` first.
        listener: is told what happens while the run goes.
        track: dashboards that are told the metrics, too (tensorboard, wandb, trackio).
        smoke: run the recipe's smoke form: tiny random weights, a few local rows.

    Returns:
        the finished run; on every process of a launcher.

    Raises:
        UserError: whatever the user can fix, in a sentence; what was written before is kept.

    Examples:
        Two steps instead of 1,100, without evaluation:

        >>> import collotype
        >>> run = collotype.run(
        ...     "desk-colpali", out="runs/short", overrides={"train.steps": 2, "evaluate": [], "expect": []}
        ... )
        >>> sorted(path.name for path in run.folder.iterdir())[2:]
        ['metrics.jsonl', 'model', 'recipe.yaml', 'record.json', 'report.html']
    """
    started, world, listener = time.perf_counter(), World.from_environment(), listener or Listener()
    if resume and overwrite:
        raise UserError("--resume goes on with a run and --overwrite deletes it; give one of them.")
    folder = choose_folder(recipe, out, resume)
    recipe, device = resolve(recipe, overrides, smoke), pick_device(world)
    if recipe.study:
        raise UserError(f"{recipe.name} is a study of many runs; `collotype run` or collotype.run_study runs it.")
    folder, tracking = folder or Path("runs") / recipe.name, Tracking(track)
    with ExitStack() as hold:
        hold.enter_context(commits(kept_commits(folder) if resume else None))
        task, plan, data = prepare(recipe, world, device)
        hold.enter_context(process_group(world, device))
        busy = (
            f"Another process is writing the run in {folder}: was the launcher started twice? Wait for it, stop it, or "
            "choose another folder with --out."
        )
        on_main(world, lambda: hold.enter_context(held(folder, busy, WAIT_FOR_LOADERS_S)))
        on_main(world, lambda: open_folder(folder, recipe, resume, overwrite))
        if world.is_main:
            listener.planned(recipe, folder, plan)
        hold.callback(tracking.finish)
        hooks = hooks_for(task, recipe, folder, listener, tracking)
        try:
            training = train(task, recipe, folder, world, device, resume, hooks)
        except InterruptedRunError as stop:
            raise InterruptedRunError(f"{stop}; go on with `collotype run {folder} --resume`.") from None
        trained = time.perf_counter()
        results = finish(task, recipe, folder, training, listener, world)
        tracking.evaluated(recipe.train.steps, results)
        steps = JsonLines(folder / "metrics.jsonl").read()
        parts = {
            "recipe": recipe.model_dump(),
            "plan": plan | ({} if recipe.train.micro_batch_tokens else {"micro_batch": training.micro_batch}),
            "environment": environment(plan["device"], torch.get_num_threads(), {"processes": world.size}),
            "hub": used(),
            "data": data,
            "model": {**task.describe(), "initial_sha256": training.initial_sha256},
            "timing": {
                "steps_s": round(sum(row["seconds"] for row in steps), 2),
                "evaluate_s": round(time.perf_counter() - trained, 2),
                "last_process_s": round(time.perf_counter() - started, 2),
                "peak_memory_mib": gather_objects(round(peak_memory(device) / 2**20, 1)),
            },
            "results": results,
            "verdict": judge(recipe, results),
            "events": [*task.events(steps), *training.events],
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


NOT_SCIENCE = {"name", *CUTS_THE_WORK}
"""What may differ between a run and its continuation: what it is called, and how the work is cut and kept."""

MARK = "# the resolved recipe of a collotype run\n"
"""The first line of a run directory's recipe.yaml: by it a run directory is known."""

COMMITS = "hub.json"
"""What names of the hub meant when the run began, and mean when it is resumed."""

PARTS = (
    "checkpoints",
    "model",
    f"model-{EMA}",
    "evaluation",
    "tensorboard",
    "wandb",
    "tracked-as",
    "metrics.jsonl",
    COMMITS,
    "record.json",
    "report.html",
    "recipe.yaml",
)
"""What a run writes, in the order in which it is deleted: the mark last, so that a kill in between leaves a run."""


def kept_commits(folder: Path) -> dict[str, str]:
    """What a run that is to go on has had from the hub.

    Raises:
        UserError: its file is damaged.
    """
    file = folder / COMMITS
    try:
        return dict(json.loads(file.read_text())) if file.is_file() else {}
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{file} is damaged ({error}); start the run anew with --overwrite.") from error


def open_folder(folder: Path, recipe: Recipe, resume: bool, overwrite: bool) -> None:
    """Makes `folder` this run's, or says why it cannot be.

    Raises:
        UserError: it holds another run, or something that is no run.
    """
    with room_to_write(folder):
        saved = folder / "recipe.yaml"
        is_run = saved.is_file() and saved.read_text().startswith(MARK)
        if not is_run and folder.exists():
            if any(not path.name.endswith(PARTIAL) for path in folder.iterdir()):
                raise UserError(f"{folder} is there and is no run of ours; choose another folder with --out.")
        if is_run and not (resume or overwrite):
            raise UserError(
                f"{folder} already holds a run; go on with it with --resume, delete it with --overwrite, or choose "
                "another folder with --out."
            )
        if is_run and resume:
            require_same_science(folder, resolve(saved, None), recipe)
        if is_run and overwrite:
            for part in PARTS:
                remove(folder / part)
        if folder.exists():
            sweep_partial(folder)
        if used():
            write_json(folder / COMMITS, used())
        write_text(saved, MARK + recipe_text(recipe))


def require_same_science(folder: Path, before: Recipe, now: Recipe) -> None:
    keys = sorted(key for key in differences(before.model_dump(), now.model_dump()) if key not in NOT_SCIENCE)
    if keys:
        raise UserError(
            f"{folder} holds a run of another recipe ({', '.join(keys)} differ); resume it with the recipe it has "
            f"(`collotype run {folder} --resume`) or choose another folder with --out."
        )


def hooks_for(task: Task[Any, Any], recipe: Recipe, folder: Path, listener: Listener, tracking: Tracking) -> Hooks:
    """Tells the listener and the trackers of every step, and keeps the curve of evaluations during training."""
    curve = JsonLines(folder / "evaluation" / "curve.jsonl")

    def start(done: int) -> None:
        curve.keep(through_step=done)
        tracking.start(recipe, folder, done)
        listener.started(done)

    def stepped(row: dict[str, Any]) -> None:
        tracking.stepped(row)
        listener.stepped(row)

    def due(step: int) -> list[Evaluate]:
        return [e for e in recipe.evaluate if e.every_steps and step % e.every_steps == 0]

    def evaluate(model: Any, step: int, world: World, version: str) -> Results:
        return results_of(measure(task, model, due(step), world, version=version))

    def evaluated(step: int, results: Results) -> float:
        curve.append({"step": step, "results": results})
        tracking.evaluated(step, results)
        listener.evaluated(step, results)
        first = next(iter(results.values()))
        return first[headline(first)]

    return Hooks(start, stepped, lambda step: bool(due(step)), evaluate, evaluated)


def measure(
    task: Task[Any, Any],
    model: Any,
    choices: Sequence[Evaluate],
    world: World,
    examples_below: Path | None = None,
    version: str = "",
) -> list[Measured]:
    """
    Args:
        version: of the model; datasets' names end in it.
    """
    measured: list[Measured] = []
    for choice in choices:
        examples_to = examples_below / choice.folder / "examples" if examples_below and world.is_main else None
        measured += task.evaluate(model, choice, examples_to, world)
    for one in measured:
        one.facts["hub"] = used()
    return [replace(one, dataset=f"{one.dataset}@{version}") for one in measured] if version else measured


def finish(
    task: Task[Any, Any], recipe: Recipe, folder: Path, training: Training, listener: Listener, world: World
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


def conclude(folder: Path, parts: dict[str, Any]) -> None:
    write_record(folder, **parts)
    write_report(folder)


def compare_runs(one: str | Path, other: str | Path) -> Comparison:
    """Two finished runs, or a run and published:NAME, side by side.

    Raises:
        UserError: one of them is nothing that can be compared.
    """
    return compare(one, other, EFFECTS)


def is_main_process() -> bool:
    return World.from_environment().is_main
