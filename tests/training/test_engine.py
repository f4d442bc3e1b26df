"""The same numbers however the batch is cut, and going on as if nothing had happened."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest
import torch

from collotype.runtime.errors import InterruptedRunError, UserError
from collotype.runtime.world import World
from collotype.training.engine import Hooks
from collotype.training.loop import train
from collotype.training.resume import Checkpoints
from tests.training.processes import TRAIN, launch
from tests.training.toy import BrokenTask, ToyDataset, ToyTask, toy_recipe

CPU = torch.device("cpu")


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def train_toy(
    folder: Path,
    coupled: bool = True,
    dropout: float = 0.0,
    resume: bool = False,
    hooks: Hooks | None = None,
    **settings,
):
    recipe = toy_recipe(**settings)
    task = ToyTask(recipe, coupled, dropout)
    return train(task, recipe, folder, World(), CPU, resume, hooks or Hooks()).model.state_dict()


def assert_same(one: dict, other: dict, tolerance: float = 0.0) -> None:
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=tolerance, rtol=0)


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_micro_batches_change_nothing(coupled: bool, micro_batch: int, tmp_path: Path) -> None:
    whole = train_toy(tmp_path / "whole", coupled)
    cut = train_toy(tmp_path / "cut", coupled, micro_batch=micro_batch)
    assert_same(whole, cut, 1e-10)
    assert losses(tmp_path / "whole") == pytest.approx(losses(tmp_path / "cut"), abs=1e-10)
    assert len(set(losses(tmp_path / "whole"))) == 6


def test_the_gradient_is_that_of_the_whole_batch(tmp_path: Path) -> None:
    """Against autograd on the whole batch at once, without any of the engine's machinery."""
    recipe = toy_recipe(steps=1, micro_batch=2)
    task = ToyTask(recipe)
    seen = {}

    class Spy(ToyTask):
        def collate(self, examples: list) -> dict:
            seen.setdefault("examples", []).extend(examples)
            return super().collate(examples)

    train(Spy(recipe), recipe, tmp_path, World(), CPU)
    model = task.build().double()
    loss = task.loss(task.outputs(model, task.collate(seen["examples"]))).value
    loss.backward()
    norm = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in model.parameters()])).item()
    row = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert (row["loss"], row["grad_norm"]) == pytest.approx((loss.item(), norm), abs=1e-12)


@pytest.mark.parametrize("workers", [1, 3])
def test_loader_workers_change_nothing(workers: int, tmp_path: Path) -> None:
    alone = train_toy(tmp_path / "alone", micro_batch=4)
    assert_same(alone, train_toy(tmp_path / "helped", micro_batch=4, workers=workers))


def test_dropout_draws_the_same_masks_in_both_passes(tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []

    class Spy(ToyTask):
        def outputs(self, model, batch):
            outputs = super().outputs(model, batch)
            seen.append(outputs["left"].detach())
            return outputs

    recipe = toy_recipe(micro_batch=4, steps=1)
    train(Spy(recipe, dropout=0.4), recipe, tmp_path, World(), CPU)
    first, second, first_again, second_again = seen
    assert torch.equal(first, first_again) and torch.equal(second, second_again)
    assert (first == 0).sum() != (second == 0).sum() or not torch.equal(first, second)


def test_dropout_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    straight = train_toy(tmp_path / "straight", dropout=0.4, micro_batch=2)
    interrupt_at(tmp_path / "cut", 3, dropout=0.4, micro_batch=2)
    assert_same(straight, train_toy(tmp_path / "cut", dropout=0.4, micro_batch=2, resume=True))
    assert losses(tmp_path / "straight") == losses(tmp_path / "cut")


def interrupt_at(folder: Path, step: int, **settings) -> None:
    hooks = Hooks(on_step=lambda row: os.kill(os.getpid(), signal.SIGINT) if row["step"] == step else None)
    with pytest.raises(InterruptedRunError, match=f"Stopped after step {step} of 6; a checkpoint was written"):
        train_toy(folder, hooks=hooks, **settings)


def test_an_interrupt_finishes_the_step_and_keeps_it(tmp_path: Path) -> None:
    interrupt_at(tmp_path, 2)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000002"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_thread_other_than_the_main_one_can_train(tmp_path: Path) -> None:
    worker = threading.Thread(target=train_toy, args=(tmp_path,))
    worker.start()
    worker.join()
    assert len(losses(tmp_path)) == 6


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    straight = train_toy(tmp_path / "a", checkpoint_every=2, keep_checkpoints=3)
    train_toy(tmp_path / "b", checkpoint_every=2, keep_checkpoints=3)
    newest = tmp_path / "b" / "checkpoints" / "step-000006"
    (weights,) = newest.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-7])
    (tmp_path / "b" / "checkpoints" / "step-000004" / "state.json").unlink()
    recipe = toy_recipe(checkpoint_every=2, keep_checkpoints=3)
    training = train(ToyTask(recipe), recipe, tmp_path / "b", World(), CPU, resume=True)
    assert_same(straight, training.model.state_dict())
    assert [event["step"] for event in training.events[:2]] == [6, 4]
    assert training.events[2] == {"kind": "resumed", "step": 2}


def test_a_checkpoint_after_damaged_ones_is_kept(tmp_path: Path) -> None:
    train_toy(tmp_path, checkpoint_every=2, keep_checkpoints=2)
    for step in (4, 6):
        (weights,) = (tmp_path / "checkpoints" / f"step-{step:06d}").glob("*.safetensors")
        weights.write_bytes(b"")
    interrupt_at(tmp_path, 3, resume=True, keep_checkpoints=2)
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert checkpoints.steps() == [3] and checkpoints.newest()[0] == 3


def test_an_example_that_cannot_be_read_is_one_sentence_from_a_worker_too(tmp_path: Path) -> None:
    for workers in (0, 1):
        for place in ("example", "collate"):
            recipe = toy_recipe(workers=workers)
            with pytest.raises(UserError, match=r"^row 1 is broken$"):
                train(BrokenTask(recipe, place), recipe, tmp_path / f"{workers}-{place}", World(), CPU)


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    train_toy(tmp_path, checkpoint_every=1, keep_checkpoints=2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-000005", "step-000006"]


def test_other_data_is_no_continuation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_toy(tmp_path)
    monkeypatch.setattr("tests.training.toy.ToyDataset.fingerprint", lambda self: "other")
    with pytest.raises(UserError, match=r"was written with different training data \(toy, now other\)"):
        train_toy(tmp_path, resume=True)


@pytest.mark.parametrize("coupled", [True, False])
def test_rows_whose_outputs_are_no_numbers_are_named(coupled: bool, tmp_path: Path) -> None:
    class Poisoned(ToyDataset):
        def example(self, row: int, epoch: int):
            left, right = super().example(row, epoch)
            return (left * float("nan") if row in (5, 7) else left), right

    class Task(ToyTask):
        def datasets(self):
            return [Poisoned()]

    recipe = toy_recipe(batch=24, steps=1, micro_batch=4)
    with pytest.raises(UserError, match=r"outputs are not finite for row (5, row 7|7, row 5);"):
        train(Task(recipe, coupled), recipe, tmp_path, World(), CPU)


def test_the_best_checkpoint_outlives_newer_ones(tmp_path: Path) -> None:
    values = {1: 0.1, 2: 0.7, 3: 0.3, 4: 0.4, 5: 0.6}
    hooks = Hooks(due=lambda step: True, evaluated=lambda step, results: values[step])
    recipe = toy_recipe(checkpoint_every=1, keep_checkpoints=1, keep_best=True)
    training = train(ToyTask(recipe), recipe, tmp_path, World(), CPU, hooks=hooks)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-000002", "step-000006"]
    assert training.events == [{"kind": "best checkpoint during training", "step": 2, "value": 0.7}]


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    class Broken(ToyTask):
        steps = 0

        def loss(self, outputs):
            self.steps += 1
            loss = super().loss(outputs)
            loss.value = loss.value * (float("nan") if self.steps == 4 else 1.0)
            return loss

    recipe = toy_recipe(checkpoint_every=2)
    with pytest.raises(UserError, match="Step 4: the loss is nan"):
        train(Broken(recipe), recipe, tmp_path, World(), CPU)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000002"]
    assert len(losses(tmp_path)) == 3


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize(("processes", "micro_batch"), [(2, 4), (2, 1), (4, 2)])
def test_processes_change_nothing(coupled: bool, processes: int, micro_batch: int, tmp_path: Path) -> None:
    alone = train_toy(tmp_path / "alone", coupled)
    settings = json.dumps({"coupled": coupled, "micro_batch": micro_batch})
    done = launch(processes, TRAIN, tmp_path / "group", settings)
    assert done.returncode == 0, done.stderr
    for rank in range(processes):
        weights = torch.load(tmp_path / "group" / f"rank-{rank}.pt", weights_only=True)
        assert_same(alone, weights, 1e-10)
    assert losses(tmp_path / "group") == pytest.approx(losses(tmp_path / "alone"), abs=1e-10)


def test_another_number_of_processes_goes_on_with_a_run(tmp_path: Path) -> None:
    straight = train_toy(tmp_path / "straight")
    assert launch(2, TRAIN, tmp_path / "cut", json.dumps({"stop": 2})).stdout == "stopped\n" * 2
    assert launch(4, TRAIN, tmp_path / "cut", json.dumps({"stop": 4, "resume": True})).stdout == "stopped\n" * 4
    assert_same(straight, train_toy(tmp_path / "cut", resume=True), 1e-10)
    assert losses(tmp_path / "straight") == pytest.approx(losses(tmp_path / "cut"), abs=1e-10)


OTHER_DATA = """
import sys
from pathlib import Path
import torch
from collotype.runtime.errors import UserError
from collotype.runtime.process import World, process_group
from collotype.training.loop import train
from tests.training.toy import ToyDataset, ToyTask, toy_recipe

world = World.from_environment()
recipe = toy_recipe(seed=world.rank if sys.argv[2] == "recipe" else 0)
ToyDataset.fingerprint = lambda self: f"data-{world.rank}" if sys.argv[2] == "data" else "data"
try:
    with process_group(world, torch.device("cpu")):
        train(ToyTask(recipe), recipe, Path(sys.argv[1]), world, torch.device("cpu"))
except UserError as error:
    print(error, flush=True)
"""


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("data", "training data of process 1 (data-1) differs from that of process 0 (data-0)"),
        ("recipe", "recipe of"),
    ],
)
def test_a_process_that_sees_something_else_is_found_out(what: str, words: str, tmp_path: Path) -> None:
    done = launch(2, OTHER_DATA, tmp_path, what)
    assert done.stdout.count(f"The {words}") == 2, done.stderr
    assert not (tmp_path / "metrics.jsonl").exists()


FAILING = """
import sys
from pathlib import Path
import torch
from collotype.runtime.errors import PeerError, UserError
from collotype.runtime.process import World, process_group
from collotype.training.loop import train
from tests.training.toy import BrokenTask, toy_recipe

recipe = toy_recipe()
try:
    with process_group(World.from_environment(), torch.device("cpu")) as world:
        task = BrokenTask(recipe, "example" if world.rank == 1 else "nowhere")
        train(task, recipe, Path(sys.argv[1]), world, torch.device("cpu"))
except UserError as error:
    # a single write: lines of two processes do not mix
    sys.stdout.write(f"{type(error).__name__}: {error}\\n")
"""


def test_a_process_that_fails_ends_the_others_with_its_message(tmp_path: Path) -> None:
    done = launch(2, FAILING, tmp_path)
    assert sorted(done.stdout.splitlines()) == [
        "PeerError: process 1 failed: UserError: row 1 is broken",
        "UserError: row 1 is broken",
    ]
