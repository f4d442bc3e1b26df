"""Moving averages of weights: the formula, going on after a stop, and what is evaluated while they are in place."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from collotype.runtime.errors import InterruptedRunError
from collotype.runtime.world import World
from collotype.training.engine import Hooks
from collotype.training.loop import Training, train
from collotype.training.settings import EMA
from tests.training.processes import launch
from tests.training.toy import ToyTask, toy_recipe

CPU = torch.device("cpu")
DECAY = 0.6
Weights = dict[str, torch.Tensor]


def copy(model: nn.Module) -> Weights:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def train_toy(folder: Path, hooks: Hooks | None = None, resume: bool = False, **settings: Any) -> Training:
    recipe = toy_recipe(ema_decay=DECAY, **settings)
    return train(ToyTask(recipe), recipe, folder, World(), CPU, resume, hooks or Hooks())


def averages_of(training: Training) -> Weights:
    with training.averaged() as model:
        return copy(model)


def test_averages_are_what_the_formula_says_and_are_evaluated_beside_the_weights(tmp_path: Path) -> None:
    seen: dict[str, list[Weights]] = {"": [], EMA: []}

    def evaluate(model: nn.Module, step: int, world: World, version: str) -> dict:
        seen[version].append(copy(model))
        return {f"toy@{version}": {"value": float(step)}}

    told: list[dict] = []
    hooks = Hooks(due=lambda step: True, evaluate=evaluate, evaluated=lambda step, results: told.append(results))
    training = train_toy(tmp_path, hooks)
    raw = [*seen[""], copy(training.model)]
    averaged = [*seen[EMA], averages_of(training)]
    wanted = copy(ToyTask(toy_recipe()).build().double())
    assert len(raw) == len(averaged) == 6 and [list(results) for results in told] == [["toy@", "toy@ema"]] * 5
    for weights, found in zip(raw, averaged, strict=True):
        wanted = {name: DECAY * wanted[name] + (1 - DECAY) * weights[name] for name in wanted}
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    # the weights are themselves again
    torch.testing.assert_close(copy(training.model), raw[-1], rtol=0, atol=0)


def test_averages_go_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    straight = averages_of(train_toy(tmp_path / "straight"))
    stop = Hooks(on_step=lambda row: os.kill(os.getpid(), signal.SIGTERM) if row["step"] == 3 else None)
    with pytest.raises(InterruptedRunError):
        train_toy(tmp_path / "cut", stop)
    resumed = train_toy(tmp_path / "cut", resume=True)
    torch.testing.assert_close(averages_of(resumed), straight, rtol=0, atol=0)
    again = train_toy(tmp_path / "cut", resume=True)
    torch.testing.assert_close(averages_of(again), straight, rtol=0, atol=0)


SHARDED = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from collotype.runtime.process import World, process_group
from collotype.training.loop import train
from tests.training.toy import ToyTask, toy_recipe

folder, recipe = Path(sys.argv[1]), toy_recipe(ema_decay=0.6, shard="fsdp")
with process_group(World.from_environment(), torch.device("cpu")) as world:
    training = train(ToyTask(recipe), recipe, folder, world, torch.device("cpu"))
    with training.averaged() as model:
        if world.is_main:
            save_file(model.state_dict(), folder / "averages.safetensors")
"""


def test_averages_of_a_sharded_model_are_whole_on_the_main_process(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    alone = averages_of(train_toy(tmp_path / "alone"))
    done = launch(2, SHARDED, tmp_path / "group")
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(load_file(tmp_path / "group" / "averages.safetensors"), alone, rtol=0, atol=1e-10)
