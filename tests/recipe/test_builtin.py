"""The built-in recipes: each is sound, says how it is run, and its smoke form runs on any machine."""

from pathlib import Path

import pytest
import yaml

import collotype
from collotype.preflight.plan import make_plan
from collotype.recipe import builtin_names, load_recipe
from collotype.recipe.load import BUILTIN
from collotype.runtime.errors import UserError

PUBLISHED = [name for name in builtin_names() if not name.startswith(("desk-", "study-"))]


@pytest.mark.parametrize("name", builtin_names())
def test_a_recipe_is_sound_and_its_header_says_its_command(name: str) -> None:
    recipe, header = load_recipe(name), (BUILTIN / f"{name}.yaml").read_text().split("\nname:")[0]
    assert recipe.name == name and header.startswith(f"# {name}: ")
    assert f"collotype run {name}" in header


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_smoke_form_runs_and_keeps_the_science(name: str, tmp_path: Path) -> None:
    run = collotype.run(name, out=tmp_path / "run", overrides={"evaluate": []}, smoke=True)
    published, smoke = load_recipe(name), run.record["recipe"]
    assert smoke["loss"] == published.loss.model_dump()
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 4
    if published.family == "beit3":
        assert smoke["model"]["drop_path"] == published.model.drop_path == run.model().config.drop_path
        assert smoke["train"]["optimizer"] == published.train.optimizer.model_dump()
        return
    if published.family != "retriever":
        assert smoke["model"]["activation"] == published.model.activation == run.model().config.activation
        return
    kept = ("backbone", "interaction", "dim", "pooling", "preset", "lora")
    assert {key: smoke["model"][key] for key in kept} == {key: published.model.model_dump()[key] for key in kept}
    assert run.record["plan"]["trainable_parameters"] < run.record["plan"]["parameters"]
    assert run.model().config.lora.rank == published.model.lora.rank


@pytest.mark.parametrize(
    ("name", "batch", "negatives", "epochs", "warmup_steps"),
    [
        ("colpali-paper", 32, 31, 1.0, 93),
        ("bipali-paper", 32, 31, 1.0, 93),
        ("bipali-256", 256, 255, 3.0, 100),
        ("colpali-v1.3", 256, 255, 3.0, 100),
        ("colqwen2-v1.0", 256, 255, 5.0, 100),
        ("colqwen2-v100", 32, 31, 1.0, 500),
    ],
)
def test_steps_are_the_published_epochs(
    name: str, batch: int, negatives: int, epochs: float, warmup_steps: int
) -> None:
    recipe = load_recipe(name, {"expect": []})
    plan = make_plan(
        recipe,
        processes=1,
        device="a GPU",
        precision="bf16",
        hardware={"kind": "cuda"},
        model={},
        negatives_per_query=batch // recipe.negatives.processes - 1,
        examples=118_695,
        datasets=[],
        metrics=[],
    )
    found = plan["batch"], plan["negatives_per_query"], plan["epochs"], plan["warmup_steps"]
    assert found == (batch, negatives, epochs, warmup_steps)


@pytest.mark.parametrize("values", [{}, {"model": "paligemma", "data": {"train": "x"}, "train": None}])
def test_the_smoke_form_of_no_recipe_is_refused_as_a_recipe_is(values: dict, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=r"Recipe .*r.yaml, at "):
        load_recipe(tmp_path / "r.yaml", smoke=True)


def test_the_smoke_form_swaps_what_would_not_run_everywhere(tmp_path: Path) -> None:
    values = yaml.safe_load((BUILTIN / "colpali-paper.yaml").read_text())
    values["train"] |= {"micro_batch": None, "micro_batch_tokens": 100}
    values["model"]["quantize"], values["negatives"] = "nf4", {"scope": "process", "processes": 3}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(values))
    smoke = load_recipe(tmp_path / "r.yaml", smoke=True)
    assert smoke.train.batch == 9 and smoke.train.micro_batch_tokens is None and smoke.model.quantize == "none"


@pytest.mark.parametrize("name", [name for name in builtin_names() if load_recipe(name).family == "clip"])
def test_where_own_images_lie_is_a_set_away(name: str) -> None:
    for number, choice in enumerate(load_recipe(name).evaluate):
        if choice.path is not None:
            changed = load_recipe(name, {f"evaluate.{number}.path": "/data/val"}).evaluate[number]
            assert changed.path == "/data/val" and changed.own_name == choice.own_name
