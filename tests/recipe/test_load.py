"""Recipes: names, files, overrides, and what is refused with which words."""

import re
from pathlib import Path

import pytest

from collotype.recipe import builtin_names, load_recipe, recipe_text
from collotype.recipe.load import parse_overrides
from collotype.runtime.errors import UserError


@pytest.mark.parametrize("name", builtin_names())
def test_a_saved_recipe_is_the_same_recipe(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, {"train.optimizer.lr": 3e-5})
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe_text(recipe))
    assert load_recipe(file) == recipe
    assert load_recipe(tmp_path) == recipe


def test_overrides_reach_keys_sections_and_list_entries() -> None:
    changes = parse_overrides(["train.steps=8", "train.optimizer.lr=5e-5", "evaluate.0.every_steps=null", "expect=[]"])
    recipe = load_recipe("desk-colpali", changes)
    assert (recipe.train.steps, recipe.train.optimizer.lr) == (8, 5e-5)
    assert recipe.evaluate[0].every_steps is None and recipe.expect == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train.batchsize": 4}, "unknown key 'batchsize'; did you mean 'batch'?"),
        ({"modle.dim": 4}, "unknown key 'modle'; did you mean 'model'?"),
        ({"train.steps": "many"}, "at train.steps: input should be a valid integer, found 'many'"),
        ({"train.steps": 2.5}, "at train.steps: input should be a valid integer, found 2.5"),
        ({"train.steps": True}, "at train.steps: input should be a valid integer, found True"),
        ({"train.batch": 0}, "at train.batch: input should be greater than 0, found 0"),
        ({"train.optimizer.lr": float("inf")}, "at train.optimizer.lr: input should be a finite number, found inf"),
        ({"train.optimizer.beta2": 1.0}, "at train.optimizer.beta2: input should be less than 1, found 1.0"),
        ({"negatives.scope": "local"}, "at negatives.scope: input should be 'global' or 'process', found 'local'"),
        ({"data.train.source": "pears"}, "unknown source 'pears'; did you mean 'pairs'?"),
        (
            {"data.train": {"path": "x"}},
            "at data.train.0: expected keys, one of them `source` (sheets, slides, pairs, pdf",
        ),
        ({"data.train": {"source": "pairs"}}, "at data.train.0.path: this key is required and missing"),
        (
            {"data.train": {"source": "pairs", "path": "x", "querycolumn": "q"}},
            "did you mean 'query_column'",
        ),
        ({"data.train": {"source": "pdf-outline", "path": 3}}, "at data.train.0.path: input should be a valid string"),
        ({"data.train.source": ["pairs"]}, "unknown source ['pairs']"),
        ({"model.max_query_tokens": 3}, "at model.max_query_tokens: input should be greater than or equal to 16"),
        ({"train.micro_batch": "none"}, "at train.micro_batch: input should be a valid integer, found 'none'"),
        ({"evaluate.0.every_steps": "x"}, "at evaluate.0.every_steps: input should be a valid integer, found 'x'"),
        ({"train": 3}, "at train: expected keys (batch, "),
        ({"train.optimizer": {}}, "at train.optimizer.lr: this key is required and missing"),
        ({"evaluate.7.suite": "sheets"}, "the recipe has no such key"),
        ({"name.x.y": 1}, "the recipe has no such key"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(changes: dict, words: str) -> None:
    with pytest.raises(UserError) as error:
        load_recipe("desk-colpali", changes)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_name_brings_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'desk-colpali'"):
        load_recipe("desk-colpaly")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", "is not valid YAML"),
        ("- a list", "is not a recipe: it contains list"),
        ("name: a\nname: b", "the key 'name' appears twice"),
        ("name: !!python/object/apply:os.system [true]", "is not valid YAML"),
        ("", "is not a recipe"),
    ],
)
def test_files_that_are_no_recipes(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load_recipe(file)
    assert words in str(error.value)


def test_an_override_needs_a_key_and_a_value() -> None:
    with pytest.raises(UserError, match="is not valid YAML"):
        parse_overrides(["train.seed=2024-13-45"])
    with pytest.raises(UserError, match="not of the form"):
        parse_overrides(["train.steps"])


@pytest.mark.parametrize(
    ("evaluate", "words"),
    [
        (
            [{"suite": "qa:en/test"}, {"suite": "qa:fr/test"}],
            "would both write the results of qa/test; give one a name, {suite: qa, path: fr/test, name: …}",
        ),
        (
            [{"suite": "vidore-v1"}, {"suite": "vidore-v1", "counting": "vidore-benchmark"}],
            "would both write the results of the suite vidore-v1; leave one out",
        ),
    ],
)
def test_two_measurements_of_one_name_are_refused(evaluate: list[dict], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        load_recipe("desk-colpali", {"evaluate": evaluate})


def test_evaluations_of_like_paths_go_together_by_name() -> None:
    entries = [{"suite": "qa:en/test"}, {"suite": "qa:fr/test", "name": "french"}, {"suite": "beir:de/test"}]
    recipe = load_recipe("desk-colpali", {"evaluate": entries})
    assert [entry.folder for entry in recipe.evaluate] == ["qa-test", "qa-french", "beir-test"]
    parts = [{"suite": "vidore-v1", "only": ["docvqa"], "split": "x"}, {"suite": "vidore-v1", "only": ["tatdqa"]}]
    again = [{"suite": "sheets"}, {"suite": "sheets", "every_steps": 5}]
    assert len(load_recipe("desk-colpali", {"evaluate": [*parts, *again]}).evaluate) == 4
