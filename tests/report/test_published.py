"""Published results: sound data, and numbers in a recipe's expectations."""

from pathlib import Path

import pytest

import collotype
from collotype.recipe import builtin_names, load_recipe
from collotype.report import published
from collotype.report.verdict import judge
from collotype.runner.planning import resolve
from collotype.runtime.errors import UserError
from tests.conftest import SMALL


@pytest.mark.parametrize("name", published.names())
def test_a_published_result_is_sound(name: str) -> None:
    found = published.load(name)
    assert found.name == name and found.results and found.source
    for suite in {dataset.split("/")[0] for dataset in found.results}:
        sets = {dataset: metrics for dataset, metrics in found.results.items() if dataset.startswith(f"{suite}/")}
        average = sets.pop(f"{suite}/average", None)
        # the failed replication's average is not the mean of the values posted with it
        if average and sets and name != "bipali-torchrun":
            ((metric, stated),) = average.items()
            mean = sum(metrics[metric] for metrics in sets.values()) / len(sets)
            assert stated == pytest.approx(mean, abs=6e-4)
    for curve, points in found.curves.items():
        dataset, _, metric = curve.rpartition("/")
        assert points == sorted(points) and points[-1][1] == found.results[dataset][metric]


def test_the_table_of_the_paper_is_the_papers() -> None:
    late, single = published.load("colpali-paper"), published.load("bipali-paper")
    assert (late.results["vidore-v1/average"], single.results["vidore-v1/average"]) == (
        {"ndcg_at_5": 0.813},
        {"ndcg_at_5": 0.588},
    )
    assert single.circumstances["negatives_per_query"] == 31
    assert published.load("bipali-torchrun").circumstances["negatives_per_query"] == 3


@pytest.mark.parametrize("name", builtin_names())
def test_what_a_recipe_expects_of_a_published_result_is_found(name: str) -> None:
    recipe = load_recipe(name)
    for expected in resolve(recipe, None).expect:
        if expected.published:
            values = published.load(expected.published)
            assert expected.value == values.results[expected.dataset][expected.metric]
            assert expected.tolerance == values.noise_of(expected.dataset, expected.metric)


def test_a_published_result_is_judged_like_numbers() -> None:
    recipe = resolve("bipali-paper", None)
    results = {
        **published.load("bipali-paper").results,
        "vidore-v1/docvqa": {"ndcg_at_5": 0.3 - 0.051},
    }
    verdict = judge(recipe, results)
    missed = [one["dataset"] for one in verdict["comparisons"] if not one["reproduced"]]
    assert missed == ["vidore-v1/docvqa"]
    assert verdict["comparisons"][-1]["tolerance"] == 0.02, "the average's own noise"


def test_of_a_published_result_counts_what_is_measured() -> None:
    changes = {"evaluate": [{"suite": "vidore-v1", "only": ["docvqa", "tatdqa"]}]}
    assert [one.dataset for one in resolve("colpali-v1.3", changes).expect] == ["vidore-v1/docvqa", "vidore-v1/tatdqa"]
    (left_open,) = resolve("beit3-base-vqav2", None).expect
    assert left_open.measured_by == "EvalAI challenge 830"


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ("published:bipaly-paper", "did you mean 'bipali-paper'"),
        ("bipali-paper", "expected keys, or published:NAME"),
        ("published:clip-rn50-cc3m", "a result of imagenet, but measures sheets"),
    ],
)
def test_an_expectation_that_cannot_be_looked_up_is_said_at_once(expect: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        collotype.run("desk-bipali", overrides={**SMALL, "expect": expect, "evaluate": [{"suite": "sheets"}]})


def test_what_nobody_knows_the_noise_of_is_no_expectation() -> None:
    with pytest.raises(UserError, match="give your own"):
        resolve("bipali-paper", {"expect": "published:bipali-torchrun"})


def test_a_run_keeps_the_numbers_it_was_judged_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nmodel: mine\ndate: '2026'\nsource: a test\n"
        "results: {sheets/held-out: {ndcg_at_5: 0.9}}\nnoise: {ndcg_at_5: 0.01}\n"
    )
    monkeypatch.setattr(published, "HERE", tmp_path)
    changes = {**SMALL, "train.steps": 1, "evaluate": [{"suite": "sheets"}], "expect": "published:mine"}
    run = collotype.run("desk-bipali", out=tmp_path / "run", overrides=changes)
    assert not run.reproduced and "Expectation: a test." in (run.folder / "report.html").read_text()
    (kept,) = load_recipe(run.folder).expect
    assert (kept.value, kept.published) == (0.9, "mine")
    assert collotype.run(run.folder, resume=True).results == run.results


def test_a_damaged_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.yaml").write_text("name: broken\nmodel: x\ndate: '2026'\nsource: x\nresults: {a: {b: 58.8}}\n")
    monkeypatch.setattr(published, "HERE", tmp_path)
    with pytest.raises(UserError, match=r"result broken, at results\.a\.b: .*less than or equal to 1, found 58\.8"):
        published.load("broken")
