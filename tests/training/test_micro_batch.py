"""`train.micro_batch: auto` on a machine whose memory we make up."""

from pathlib import Path

import pytest
import torch
from torch import nn

from collotype.runtime.world import World
from collotype.training import micro_batch
from collotype.training.loop import train
from collotype.training.micro_batch import largest_that_fits
from tests.training.toy import ToyTask, toy_recipe

CPU = torch.device("cpu")


class Memory:
    """A device where `base + each * examples` bytes are needed, `surprise` more from 12 examples on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limit: int, base: int = 100, each: int = 10, surprise: int = 0):
        self.base, self.each, self.surprise, self.limit, self.tried = base, each, surprise, limit, []
        monkeypatch.setattr(micro_batch, "memory_limit", lambda device: limit / micro_batch.ROOM)
        monkeypatch.setattr(micro_batch, "reset_peak_memory", lambda device: None)
        monkeypatch.setattr(micro_batch, "peak_memory", lambda device: self.needs(self.tried[-1]))

    def needs(self, examples: int) -> int:
        return self.base + self.each * examples + self.surprise * (examples >= 12)

    def attempt(self, examples: int) -> None:
        self.tried.append(examples)
        if self.needs(examples) > 1000:
            raise torch.OutOfMemoryError


@pytest.mark.parametrize(("limit", "largest"), [(10_000, 24), (340, 24), (339, 12), (180, 8), (115, 1), (50, 1)])
def test_the_largest_divisor_that_fits_is_found(limit: int, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(monkeypatch, limit)
    assert largest_that_fits(memory.attempt, 24, nn.Identity(), CPU, sharded=False) == largest


@pytest.mark.parametrize("surprise", [150, 10_000])
def test_a_surprise_is_met_with_a_smaller_one(surprise: int, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(monkeypatch, 340, surprise=surprise)
    assert largest_that_fits(memory.attempt, 24, nn.Identity(), CPU, sharded=False) == 8
    assert memory.tried == [1, 3, 24, 12, 8]


def test_running_statistics_are_as_if_nothing_had_been_tried() -> None:
    model = nn.BatchNorm1d(3).train()
    largest_that_fits(lambda count: model(torch.randn(8, 3)).sum().backward(), 4, model, CPU, sharded=False)
    assert model.num_batches_tracked == 0 and not model.running_mean.any() and model.weight.grad is None


def test_a_run_finds_its_own_and_keeps_it(tmp_path: Path) -> None:
    recipe = toy_recipe(micro_batch="auto", steps=2)
    training = train(ToyTask(recipe), recipe, tmp_path, World(), CPU)
    assert training.micro_batch == 8
