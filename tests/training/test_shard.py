"""Models divided among processes, and activations computed twice: the same numbers."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from collotype.runtime.world import World
from collotype.training.loop import train
from tests.training.processes import TRAIN, launch
from tests.training.test_engine import CPU, assert_same, losses, train_toy
from tests.training.toy import ToyTask, toy_recipe


@pytest.mark.parametrize("coupled", [True, False])
def test_a_sharded_model_takes_the_same_steps(coupled: bool, tmp_path: Path) -> None:
    alone = train_toy(tmp_path / "alone", coupled, clip_grad_norm=0.1)
    settings = {"coupled": coupled, "shard": "fsdp", "micro_batch": 2, "clip_grad_norm": 0.1}
    done = launch(2, TRAIN, tmp_path / "group", json.dumps(settings))
    assert done.returncode == 0, done.stderr
    assert_same(alone, torch.load(tmp_path / "group" / "rank-0.pt", weights_only=True), 1e-10)
    assert losses(tmp_path / "group") == pytest.approx(losses(tmp_path / "alone"), abs=1e-10)


def test_a_sharded_checkpoint_goes_on_with_any_number_of_processes(tmp_path: Path) -> None:
    straight = train_toy(tmp_path / "straight")
    sharded = {"shard": "fsdp", "resume": True}
    assert launch(2, TRAIN, tmp_path / "cut", json.dumps({"stop": 2, **sharded})).stdout == "stopped\n" * 2
    assert len(list((tmp_path / "cut" / "checkpoints" / "step-000002").glob("*.safetensors"))) == 2
    assert launch(4, TRAIN, tmp_path / "cut", json.dumps({"stop": 4, **sharded})).stdout == "stopped\n" * 4
    assert_same(straight, train_toy(tmp_path / "cut", resume=True), 1e-10)


def test_recomputed_activations_change_nothing_but_the_number_of_passes(tmp_path: Path) -> None:
    passes = []

    class Counted(ToyTask):
        def build(self) -> nn.Module:
            model = super().build()
            model[0].register_forward_hook(lambda *_: passes.append("call"))
            compute = model[0].forward
            model[0].forward = lambda inputs: passes.append("compute") or compute(inputs)
            return model

    found = {}
    for again in (False, True):
        recipe = toy_recipe(steps=2, gradient_checkpointing=again)
        passes.clear()
        found[again] = train(Counted(recipe), recipe, tmp_path / str(again), World(), CPU).model.state_dict()
        assert passes.count("compute") == passes.count("call") * (2 if again else 1)
    assert_same(found[False], found[True])
