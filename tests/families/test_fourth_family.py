"""A family is one folder and one line: one from outside of the package is trained, judged, loaded and listed."""

from pathlib import Path

import pytest

import collotype
from collotype import families, registry, runner
from collotype.recipe.load import load_evaluation, parse_recipe
from collotype.runtime.errors import UserError

VALUES = {
    "name": "steep",
    "family": "line",
    "model": {"size": "slope"},
    "data": {"train": {"source": "points", "count": 16}},
    "train": {"batch": 8, "steps": 120, "precision": "fp32", "optimizer": {"lr": 0.3}},
    "evaluate": [{"suite": "origin"}],
    "expect": {"dataset": "origin/all", "metric": "error", "value": 0.0, "tolerance": 0.2, "source": "arithmetic"},
}


@pytest.fixture(autouse=True)
def one_line_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.FAMILIES, "line", "tests.families.toy_family")


def test_it_trains_and_is_judged_loaded_and_measured(tmp_path: Path) -> None:
    done = collotype.run(parse_recipe(VALUES, "the line"), out=tmp_path / "run")
    assert done.reproduced
    model = collotype.load(tmp_path / "run" / "model")
    assert model.slope.weight.item() == pytest.approx(3, abs=0.2)
    (measured,) = families.evaluate([done.folder / "model"], load_evaluation("line", suite="origin")).values()
    assert measured[0].metrics == done.results["origin/all"]
    assert "origin" in families.known("suites") and "slope" in families.known("models")


def test_its_recipe_is_checked_and_has_a_smoke_form() -> None:
    _, plan = runner.check(parse_recipe(VALUES, "the line"))
    assert plan["steps"] == 120 and not plan["unknown"]
    with pytest.raises(UserError, match="unknown key 'slop'"):
        parse_recipe({**VALUES, "model": {"slop": 1}}, "the line")
    with pytest.raises(UserError, match="the families are retriever, clip, beit3, line"):
        parse_recipe({**VALUES, "family": "curve"}, "the line")
