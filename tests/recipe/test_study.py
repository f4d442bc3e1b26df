"""Recipes that are many, and recipes that start from another."""

from pathlib import Path

import pytest

from collotype.recipe import builtin_names, load_recipe
from collotype.recipe.load import variants_of
from collotype.runtime.errors import UserError

STUDIES = [name for name in builtin_names() if name.startswith("study-")]


OF = {
    "study-clip": "desk-clip",
    "study-negatives": "desk-bipali",
    "study-distill": "desk-distill",
    "study-sparse": "desk-sparse",
}


@pytest.mark.parametrize("name", STUDIES)
def test_the_first_variant_of_a_shipped_study_is_the_recipe_it_is_of(name: str) -> None:
    study = load_recipe(name)
    first, *others = variants_of(study).values()
    base = load_recipe(OF.get(name, "desk-colpali"))
    own = {"name", "expect"} | ({"model"} if name == "study-projection" else set())
    assert first.model_dump(exclude=own) == base.model_dump(exclude=own)
    assert others and all(one.model_dump(exclude={"name"}) != first.model_dump(exclude={"name"}) for one in others)


def test_a_variant_changes_what_it_says_and_nothing_else() -> None:
    per_process = variants_of(load_recipe("study-negatives"))["8x4"]
    assert (per_process.negatives.scope, per_process.negatives.processes) == ("process", 8)
    assert per_process.name == "study-negatives-8x4" and per_process.study is None
    single = variants_of(load_recipe("study-late"))["single"]
    assert single.model == load_recipe("desk-bipali").model
    today = variants_of(load_recipe("study-loss"))["pairwise-today"]
    assert (today.loss.dialect, today.loss.temperature) == ("colpali-engine>=0.3.11", None)


def test_a_source_is_varied_without_its_number() -> None:
    recipe = load_recipe("desk-colpali", {"study": {"vary": {"data.train.queries": [3200, 25600]}}})
    assert [one.data.train[0].queries for one in variants_of(recipe).values()] == [3200, 25600]


@pytest.mark.parametrize(
    ("study", "words"),
    [
        ({}, "found neither of vary"),
        ({"vary": {"train.batch": [8]}, "variants": {"a": {}}}, "found both of vary"),
        ({"vary": {"train.batch": [8], "train.steps": [1]}}, "at most 1 item"),
        ({"vary": {"loss": [{"name": "infonce"}]}}, "write it as a named change in variants"),
        ({"vary": {"train.batch": [8, 8]}}, "a value twice: 8, 8"),
        ({"variants": {"../up": {}}}, "should match pattern"),
    ],
)
def test_a_study_that_cannot_be_is_refused(study: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_recipe("desk-colpali", {"study": study})


def test_a_recipe_takes_from_its_base_what_it_does_not_say(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nbase: desk-bipali\nexpect: []\n")
    (tmp_path / "below.yaml").write_text("name: below\nbase: mine.yaml\nloss: {name: BiEncoderLoss}\n")
    recipe, base = load_recipe(tmp_path / "below.yaml"), load_recipe("desk-bipali")
    assert (recipe.name, recipe.loss.name, recipe.loss.temperature, recipe.expect) == (
        "below",
        "BiEncoderLoss",
        None,
        [],
    )
    assert recipe.train == base.train


def test_a_base_that_is_not_there_or_is_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nbase: b.yaml\n")
    (tmp_path / "b.yaml").write_text("name: b\nbase: a.yaml\n")
    (tmp_path / "c.yaml").write_text("name: c\nbase: desk-bipaly\n")
    with pytest.raises(UserError, match=r"has the base a\.yaml, which is based on"):
        load_recipe(tmp_path / "a.yaml")
    with pytest.raises(UserError, match="did you mean 'desk-bipali'"):
        load_recipe(tmp_path / "c.yaml")
