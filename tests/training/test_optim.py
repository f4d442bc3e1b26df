"""Learning-rate schedules at their corners."""

import itertools

import pytest

from collotype.recipe import load_recipe
from collotype.training.optim import learning_rate


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
