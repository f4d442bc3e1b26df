"""What is found before a run: each documented cause, and nothing on a recipe that has none of them."""

import pytest

from collotype.check.findings import find
from collotype.recipe import builtin_names, load_recipe
from collotype.recipe.schema import Recipe


def plan_of(recipe: Recipe, precision: str = "fp16", examples: int = 2_905_954) -> dict:
    return {
        "precision": precision,
        "batch_norm_group": 128,
        "steps": recipe.train.steps,
        "warmup_steps": recipe.warmup_steps,
        "warmup_epochs": recipe.warmup_steps / (examples // recipe.train.batch),
    }


def names(recipe: Recipe, precision: str = "fp16") -> list[str]:
    return [finding["name"] for finding in find(recipe, plan_of(recipe, precision))]


def test_the_documented_causes_of_a_missed_cc3m_are_found() -> None:
    """open_clip issue 930: warm-up 10,000, bf16, beta2 of a ResNet's defaults."""
    found = find(recipe := load_recipe("clip-rn50-cc3m-v0.1"), plan_of(recipe, "bf16"))
    assert [one["name"] for one in found] == ["bf16 with BatchNorm", "long warm-up", "beta2 of 0.999"]
    assert "10,000 steps: 3.5 epochs, 12% of the run" in found[1]["seen"]
    for one in found:
        assert one["why"] and one["source"] and one["fix"].startswith("--set ")


def test_each_fix_silences_its_finding() -> None:
    recipe = load_recipe("clip-rn50-cc3m-v0.1", {"train.schedule.warmup_steps": 2000, "train.optimizer.beta2": 0.99})
    assert names(recipe, "bf16") == ["bf16 with BatchNorm"] and names(recipe) == []


@pytest.mark.parametrize("name", [name for name in builtin_names() if not name.startswith("clip-")])
def test_what_is_harmless_elsewhere_is_not_found_there(name: str) -> None:
    recipe = load_recipe(name)
    plan = plan_of(recipe, "fp32", 10**9)
    assert find(recipe, plan) == []
