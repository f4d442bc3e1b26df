"""Logs a run's metrics to other trackers, through their own clients."""

import importlib
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from collotype.evaluation.results import Results
from collotype.recipe import Recipe
from collotype.runtime.errors import UserError
from collotype.runtime.files import write_text


class Tracker(Protocol):
    def log(self, values: dict[str, float], step: int) -> None: ...

    def finish(self) -> None: ...


class TensorBoard:
    """Event files in the run directory's `tensorboard/`."""

    def __init__(self, recipe: Recipe, folder: Path, done: int):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(folder / "tensorboard", purge_step=done + 1)

    def log(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def finish(self) -> None:
        self.writer.close()


def weights_and_biases(recipe: Recipe, folder: Path, done: int) -> Tracker:
    """A run of the project named as the recipe; a resumed run goes on under its own id."""
    import wandb

    try:
        return wandb.init(
            project=recipe.name,
            name=folder.name,
            dir=folder,
            id=run_id(folder, done),
            resume="allow",
            config=recipe.model_dump(),
        )
    except wandb.Error as error:
        raise UserError(f"Weights & Biases: {error}; log in with `wandb login`, or set WANDB_MODE=offline.") from error


def trackio(recipe: Recipe, folder: Path, done: int) -> Tracker:
    """A run of the project named as the recipe, in trackio's own local store."""
    import trackio as client

    name = f"{folder.name}-{run_id(folder, done)}"
    client.init(project=recipe.name, name=name, resume="allow", config=recipe.model_dump())
    tracker: Tracker = client
    return tracker


def run_id(folder: Path, done: int) -> str:
    """What a dashboard knows the run by: new with the first step, the same when the run goes on."""
    file = folder / "tracked-as"
    if done and file.is_file():
        return file.read_text().strip()
    name = uuid.uuid4().hex[:8]
    write_text(file, name + "\n")
    return name


TRACKERS: dict[str, Callable[[Recipe, Path, int], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": weights_and_biases,
    "trackio": trackio,
}
"""By the name of their package."""


class Tracking:
    """The trackers a run was asked to tell; silent before `start`."""

    def __init__(self, names: Sequence[str]):
        """
        Raises:
            UserError: no such tracker, or its package is not installed.
        """
        for name in names:
            if name not in TRACKERS:
                raise UserError(f"Unknown tracker {name!r}; --track takes {', '.join(TRACKERS)}.")
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise UserError(
                    f"--track {name}: its package cannot be imported ({error}); install it with "
                    f"`pip install 'collotype[{name}]'`."
                ) from error
        self.names, self.trackers = names, list[Tracker]()

    def start(self, recipe: Recipe, folder: Path, done: int) -> None:
        self.trackers = [TRACKERS[name](recipe, folder, done) for name in self.names]

    def stepped(self, row: dict[str, Any]) -> None:
        numbers = {name: value for name, value in row.items() if isinstance(value, int | float) and name != "step"}
        self.log({f"train/{name}": value for name, value in numbers.items()}, row["step"])

    def evaluated(self, step: int, results: Results) -> None:
        self.log({f"{data}/{name}": value for data, found in results.items() for name, value in found.items()}, step)

    def log(self, values: dict[str, float], step: int) -> None:
        for tracker in self.trackers:
            tracker.log(values, step=step)

    def finish(self) -> None:
        for tracker in self.trackers:
            tracker.finish()
        self.trackers = []
