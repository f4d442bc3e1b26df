"""Many runs of a recipe: the variants of its study, or only several seeds; each run in its own folder."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from collotype.recipe import Recipe
from collotype.recipe.load import variants_of
from collotype.report.html import write_study_report
from collotype.report.record import read_record
from collotype.report.study import Variant, as_markdown, headlines, summarise, table
from collotype.runner.callbacks import Callback
from collotype.runner.execution import prepare, run
from collotype.runner.planning import resolve
from collotype.runner.result import Run
from collotype.runner.run_dir import require_same_science
from collotype.runtime.device import pick_device
from collotype.runtime.errors import InterruptedRunError, UserError
from collotype.runtime.files import write_json, write_text
from collotype.runtime.process import on_main, process_group
from collotype.runtime.world import World


def run_study(
    recipe: str | Path | Recipe,
    seeds: int | None = None,
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    smoke: bool = False,
    resume: bool = False,
    listener: Callback | None = None,
    **settings: Any,
) -> tuple[Path, dict[str, Any]]:
    """Runs every variant of a recipe's study, or the recipe itself, with consecutive training seeds, each run in its
    own folder below `out`: VARIANT/seed-N.

    Args:
        recipe: as in `run`.
        seeds: the number of seeds; None: as in the study.
        out: the folder of all runs; None: `runs/NAME`, or `runs/NAME-seeds` without a study.
        overrides: as in `run`.
        smoke: as in `run`; a study has no smoke form.
        resume: keep finished runs and do not run them again.
        listener: as in `run`.
        settings: other arguments of `run`, for every run.

    Returns:
        The folder, with `study.json`, `table.md` and `report.html`, which grow with each variant; and the content of
        `study.json`.

    Raises:
        UserError: as in `run`; all variants are checked before the first one runs.

    Examples:
        Two seeds of one step each:

        >>> import collotype
        >>> few = {"train.steps": 1, "evaluate": [], "expect": []}
        >>> folder, summary = collotype.run_study("desk-colpali", seeds=2, out="runs/seeds", overrides=few)
        >>> [run["folder"] for run in summary["variants"][0]["runs"]]
        ['seed-42', 'seed-43']
    """
    base, world = resolve(recipe, overrides, smoke), World.from_environment()
    if base.study and smoke:
        name = base.name.removesuffix("-smoke")
        raise UserError(f"{name} is a study and has no smoke form; shorten it: --set train.steps=8 --seeds 1.")
    folder = Path(out or Path("runs") / (base.name if base.study else f"{base.name}-seeds"))
    variants, count = variants_of(base), seeds or (base.study.seeds if base.study else 1)
    changes = base.study.changes if base.study else {}
    done: list[Variant] = []
    with process_group(world, device := pick_device(world)):
        for one in variants.values() if base.study else ():
            prepare(one, world, device)
        for name, one in variants.items():
            seeded = with_seeds(one, name, count)
            runs = [run_or_read(each, folder / place, resume, listener, settings) for place, each in seeded.items()]
            numbers, results = [each.train.seed for each in seeded.values()], [each.results for each in runs]
            done.append(
                Variant(name=name, changes=changes.get(name, {}), seeds=numbers, folders=[*seeded], results=results)
            )
            summary = summarise(base, done)
            on_main(world, partial(conclude, folder, summary))
    return folder, summary


def with_seeds(recipe: Recipe, variant: str, count: int) -> dict[str, Recipe]:
    """The recipe with consecutive seeds, by the run directory of each below the study's."""
    train, seeds = recipe.train, range(recipe.train.seed, recipe.train.seed + count)
    trains = {f"{variant}/seed-{seed}".lstrip("/"): train.model_copy(update={"seed": seed}) for seed in seeds}
    return {folder: recipe.model_copy(update={"train": seeded}) for folder, seeded in trains.items()}


def run_or_read(
    recipe: Recipe, folder: Path, resume: bool, listener: Callback | None, settings: Mapping[str, Any]
) -> Run:
    """Runs it, or reads a finished run."""
    if resume and (folder / "record.json").is_file():
        require_same_science(folder, resolve(folder, None), recipe)
        return Run(folder, read_record(folder))
    try:
        return run(recipe, out=folder, resume=resume, listener=listener, **settings)
    except InterruptedRunError as stop:
        done = str(stop).partition(";")[0]
        raise InterruptedRunError(f"{folder}: {done}; continue with the same command and --resume.") from None


def conclude(folder: Path, summary: Mapping[str, Any]) -> None:
    write_json(folder / "study.json", summary)
    write_text(folder / "table.md", as_markdown(table(summary, headlines(summary))))
    write_study_report(folder)
