"""Learning-rate schedules at their corners; which parameter learns how fast."""

import itertools
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError
from collotype.training.optim import make_optimizer, paged_adamw_8bit
from collotype.training.schedule import learning_rate


def rates(name: str, warmup: float, steps: int = 10) -> list[float]:
    changes = {
        "train.steps": steps,
        "train.optimizer.lr": 1.0,
        "train.schedule": {"name": name, "warmup_fraction": warmup},
    }
    recipe = load_recipe("desk-colpali", changes)
    return [learning_rate(recipe, step) for step in range(1, steps + 1)]


def test_linear() -> None:
    assert rates("linear", 0.2) == pytest.approx([0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert rates("linear", 0.0)[0] == 1.0


def test_cosine_falls_slowly_then_fast_then_slowly() -> None:
    found = rates("cosine", 0.2)
    assert found[:3] == pytest.approx([0.5, 1, 1]) and found[6] == pytest.approx(0.5)
    assert found[-1] < 1 / 8 and all(later <= earlier for earlier, later in itertools.pairwise(found[1:]))


def test_constant() -> None:
    assert rates("constant", 0.1) == pytest.approx([1.0] * 10)


def test_warmup_in_steps() -> None:
    changes = {"train.steps": 10, "train.optimizer.lr": 1.0, "train.schedule": {"name": "constant", "warmup_steps": 4}}
    recipe = load_recipe("desk-colpali", changes)
    assert [learning_rate(recipe, step) for step in (1, 2, 4, 5)] == [0.25, 0.5, 1.0, 1.0]
    with pytest.raises(UserError, match=r"warmup_steps is 4 and warmup_fraction 0\.1; leave one of them out"):
        load_recipe("desk-colpali", {"train.schedule.warmup_steps": 4})


def optimizer_of(changes: dict, head: bool = True) -> dict[str, tuple[float, float]]:
    """(weight decay, learning-rate multiplier) of every parameter of embeddings, two blocks, a norm and a head."""
    model = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 2), nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2))
    model[2].weight.requires_grad_(False)
    recipe = load_recipe("desk-colpali", {f"train.optimizer.{key}": value for key, value in changes.items()})
    optimizer = make_optimizer(model, recipe, [model[1], model[2]], model[4] if head else None)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = optimizer.param_groups
    return {names[p]: (group["weight_decay"], group["lr_multiplier"]) for group in groups for p in group["params"]}


def test_decay_groups_layers_and_the_head() -> None:
    found = optimizer_of({"weight_decay": 0.05, "layer_decay": 0.5, "head_lr_multiplier": 20.0})
    assert found == {
        "0.weight": (0.05, 0.125),
        "1.weight": (0.05, 0.25),
        "1.bias": (0.0, 0.25),
        "2.bias": (0.0, 0.5),
        "3.weight": (0.0, 1.0),
        "3.bias": (0.0, 1.0),
        "4.weight": (0.05, 20.0),
        "4.bias": (0.0, 20.0),
    }


def test_an_optimiser_that_needs_a_gpu_says_so() -> None:
    with pytest.raises(UserError, match="paged_adamw_8bit, which needs a GPU, but this run uses the cpu"):
        optimizer_of({"name": "paged_adamw_8bit"})


def test_an_optimiser_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    on_gpu = SimpleNamespace(device=torch.device("cuda"))
    with pytest.raises(UserError, match=r"pip install 'collotype\[bitsandbytes\]'"):
        paged_adamw_8bit([{"params": [on_gpu]}], {})
