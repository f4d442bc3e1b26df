"""The run directory: choosing it, checking it, and its files."""

import json
from contextlib import ExitStack
from pathlib import Path

from collotype.preflight.difference_effects import CUTS_THE_WORK
from collotype.recipe import Recipe, recipe_text
from collotype.report.compare import differences
from collotype.runner.planning import resolve
from collotype.runtime.errors import UserError
from collotype.runtime.files import (
    PARTIAL,
    dir_lock,
    remove,
    room_to_write,
    sweep_partial,
    write_json,
    write_text,
)
from collotype.runtime.hub import used
from collotype.runtime.process import on_main
from collotype.runtime.world import World
from collotype.training.settings import EMA


def choose_folder(recipe: str | Path | Recipe, out: str | Path | None, resume: bool, overwrite: bool) -> Path | None:
    """`out`, or the run directory that `recipe` names if it is to be resumed; None: the recipe's own.

    Raises:
        UserError: a run cannot be resumed and overwritten.
    """
    if resume and overwrite:
        raise UserError("--resume continues a run and --overwrite deletes it; give only one of them.")
    if out:
        return Path(out)
    if not resume or isinstance(recipe, Recipe):
        return None
    folder = Path(recipe)
    return folder if (folder / "recipe.yaml").is_file() else None


WAIT_FOR_LOADERS_S = 7
"""How long the loader processes of a killed run may go on holding its folder."""

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
        raise UserError(f"{file} is damaged ({error}); restart the run with --overwrite.") from error


def take_folder(hold: ExitStack, folder: Path, recipe: Recipe, world: World, resume: bool, overwrite: bool) -> None:
    """Locks the run directory until `hold` ends, and makes it this run's.

    Raises:
        UserError: another process writes there, or something else is in it.
    """
    busy = (
        f"Another process is writing the run in {folder}: was the launcher started twice? Wait for it, stop it, or "
        "choose another folder with --out."
    )
    on_main(world, lambda: hold.enter_context(dir_lock(folder, busy, WAIT_FOR_LOADERS_S)))
    on_main(world, lambda: open_folder(folder, recipe, resume, overwrite))


def open_folder(folder: Path, recipe: Recipe, resume: bool, overwrite: bool) -> None:
    """Makes `folder` this run's, or says why it cannot be.

    Raises:
        UserError: it holds another run, or something that is not a run.
    """
    with room_to_write(folder):
        saved = folder / "recipe.yaml"
        is_run = saved.is_file() and saved.read_text().startswith(MARK)
        if not is_run and folder.exists():
            if any(not path.name.endswith(PARTIAL) for path in folder.iterdir()):
                raise UserError(f"{folder} exists and is not a run of Collotype; choose another folder with --out.")
        if is_run and not (resume or overwrite):
            raise UserError(
                f"{folder} already contains a run; continue it with --resume, delete it with --overwrite, or choose "
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
            f"{folder} contains a run of another recipe ({', '.join(keys)} differ); resume it with its own recipe "
            f"(`collotype run {folder} --resume`) or choose another folder with --out."
        )
