"""Examples that cannot be read: others stand for them, the same ones whoever reads, and no more than allowed."""

import json
import pickle
from pathlib import Path

import pytest
import torch

from collotype.runtime.errors import InterruptedRunError, UserError
from collotype.runtime.world import World
from collotype.training.bad_examples import BadExampleError
from collotype.training.engine import Hooks
from collotype.training.loop import train
from tests.training.processes import launch
from tests.training.toy import ToyDataset, ToyTask, stop_at, toy_recipe

BAD = (3, 7, 20)
CPU = torch.device("cpu")


class Damaged(ToyDataset):
    def example(self, row: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        if row in BAD:
            raise BadExampleError("image cannot be decoded", f"shard-{row // 8}.tar")
        return super().example(row, epoch)


class DamagedTask(ToyTask):
    def datasets(self) -> list[ToyDataset]:
        return [Damaged()]


def run(folder: Path, limit: float, resume: bool = False, hooks: Hooks | None = None, **settings):
    """Nine steps of 8: three epochs of the 24 rows."""
    recipe = toy_recipe(steps=9, **settings)
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"max_bad_examples": limit})})
    return train(DamagedTask(recipe), recipe, folder, World(), CPU, resume, hooks or Hooks())


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


EVENTS = [
    {
        "kind": "bad examples replaced",
        "source": 0,
        "cause": "image cannot be decoded",
        "place": "shard-0.tar",
        "count": 2,
        "first rows": [3, 7],
    },
    {
        "kind": "bad examples replaced",
        "source": 0,
        "cause": "image cannot be decoded",
        "place": "shard-2.tar",
        "count": 1,
        "first rows": [20],
    },
]


@pytest.mark.parametrize("settings", [{}, {"workers": 2}, {"micro_batch": 2}])
def test_each_counts_once_and_is_replaced_alike_however_the_work_is_cut(settings: dict, tmp_path: Path) -> None:
    found = run(tmp_path / "cut", 0.125, **settings)
    assert found.events == EVENTS
    run(tmp_path / "straight", 0.125)
    assert losses(tmp_path / "cut") == pytest.approx(losses(tmp_path / "straight"), abs=1e-10)


PROCESSES = """
import sys
from pathlib import Path
from collotype.runtime.process import World, process_group
from tests.training import test_bad_examples
import torch

with process_group(World.from_environment(), torch.device("cpu")) as world:
    test_bad_examples.World = lambda: world
    same = test_bad_examples.run(Path(sys.argv[1]), 0.125).events == test_bad_examples.EVENTS
    # a single write: lines of two processes do not mix
    sys.stdout.write(f"{same}\\n")
"""


def test_every_process_knows_of_all(tmp_path: Path) -> None:
    done = launch(2, PROCESSES, tmp_path / "group")
    assert done.stdout.split() == ["True", "True"], done.stderr
    run(tmp_path / "alone", 0.125)
    assert losses(tmp_path / "group") == pytest.approx(losses(tmp_path / "alone"), abs=1e-10)


def test_a_resumed_run_remembers(tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError):
        run(tmp_path, 0.125, hooks=stop_at(5))
    events = run(tmp_path, 0.125, resume=True).events
    assert [event for event in events if event["kind"] != "resumed"] == EVENTS


def test_more_than_the_recipe_allows_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"3 training examples .* allows 2; most are in shard-0.tar \(image cannot"):
        run(tmp_path, 2 / 24)


def test_none_allowed_is_the_example_itself(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"shard-.*tar: image cannot be decoded"):
        run(tmp_path, 0.0)


def test_it_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(BadExampleError("no caption", "a.tar", "In a.tar, 7 has no caption.")))  # noqa: S301
    assert (error.cause, error.place, str(error)) == ("no caption", "a.tar", "In a.tar, 7 has no caption.")
