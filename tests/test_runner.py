"""A recipe goes in, a run directory comes out."""

import json
from pathlib import Path

import pytest

import collotype
from collotype.recipe import load_recipe
from collotype.runner.planning import check
from collotype.runtime.errors import UserError
from collotype.runtime.files import dir_lock
from tests.conftest import SMALL

SOURCE = {"source": "sheets", "queries": 9}
EXPECTED = {"dataset": "vidore/x", "metric": "mrr", "value": 1.0, "tolerance": 0.1, "source": "a test"}


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def without_times(folder: Path) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows(folder)]


def test_a_run_directory_holds_what_the_contract_names(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {
        "recipe.yaml",
        "record.json",
        "metrics.jsonl",
        "checkpoints",
        "model",
        "evaluation",
        "report.html",
    }
    record = json.loads((trained / "record.json").read_text())
    assert list(record) == [
        "recipe", "plan", "environment", "hub", "data", "model", "timing", "results", "verdict", "events",
    ]  # fmt: skip
    plan = {"batch": 8, "micro_batch": 8, "processes": 1, "negatives_per_query": 7, "steps": 6, "precision": "fp32"}
    assert plan.items() <= record["plan"].items()
    assert {"warmup_steps", "epochs", "trainable_parameters"} <= set(record["plan"])
    assert (
        record["results"]["sheets/held-out"]["ndcg_at_5"]
        == json.loads((trained / "evaluation" / "sheets" / "held-out.json").read_text())["metrics"]["ndcg_at_5"]
    )
    assert set(record["data"]) == {"train", "sheets/held-out", "sheets/held-out-second-hand"}
    assert [set(row) for row in rows(trained)] == [
        {"step", "loss", "batch_accuracy", "lr", "grad_norm", "examples", "seconds"}
    ] * 6


def test_the_verdict_says_how_far(trained: Path) -> None:
    verdict = json.loads((trained / "record.json").read_text())["verdict"]
    (comparison,) = verdict["comparisons"]
    assert not verdict["reproduced"]
    assert comparison["difference"] == pytest.approx(comparison["measured"] - 0.9)


def test_the_saved_recipe_runs_again_to_the_same_numbers(trained: Path, tmp_path: Path) -> None:
    again = collotype.run(trained / "recipe.yaml", out=tmp_path / "again")
    assert without_times(trained) == without_times(again.folder)
    assert again.results == json.loads((trained / "record.json").read_text())["results"]


def test_the_curve_is_kept(trained: Path) -> None:
    (line,) = (trained / "evaluation" / "curve.jsonl").read_text().splitlines()
    assert json.loads(line)["step"] == 3


def test_a_run_that_is_there_is_not_touched(trained: Path) -> None:
    before = (trained / "metrics.jsonl").read_text()
    with pytest.raises(UserError, match="a run; continue it with --resume, delete it with --overwrite"):
        collotype.run("desk-colpali", out=trained, overrides=SMALL)
    with pytest.raises(UserError, match=r"contains a run of another recipe \(evaluate, expect, train\.seed differ\)"):
        collotype.run("desk-colpali", out=trained, overrides={**SMALL, "name": "other", "train.seed": 1}, resume=True)
    assert (trained / "metrics.jsonl").read_text() == before


def test_overwrite_starts_anew_but_spares_what_is_no_run(tmp_path: Path) -> None:
    collotype.run("desk-colpali", out=tmp_path / "run", overrides={**SMALL, "train.steps": 3})
    collotype.run("desk-colpali", out=tmp_path / "run", overrides={**SMALL, "train.steps": 2}, overwrite=True)
    assert len(rows(tmp_path / "run")) == 2
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "recipe.yaml").write_text("two eggs")
    for settings in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(UserError, match="exists and is not a run of Collotype"):
            collotype.run("desk-colpali", out=tmp_path / "holiday", overrides=SMALL, **settings)
    assert (tmp_path / "holiday" / "recipe.yaml").read_text() == "two eggs"
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="give only one of them"):
        collotype.run("desk-colpali", out=tmp_path / "run", overrides=SMALL, resume=True, overwrite=True)
    collotype.run("desk-colpali", out=tmp_path / "run", overrides={**SMALL, "train.steps": 1}, overwrite=True)
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_another_micro_batch_may_go_on_with_a_run(tmp_path: Path) -> None:
    collotype.run("desk-colpali", out=tmp_path / "whole", overrides=SMALL)
    half = {**SMALL, "train.micro_batch": 2}
    again = collotype.run("desk-colpali", out=tmp_path / "cut", overrides=half)
    for one, other in zip(rows(tmp_path / "whole"), rows(tmp_path / "cut"), strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)
    assert again.record["plan"]["micro_batch"] == 2
    resumed = collotype.run("desk-colpali", out=tmp_path / "cut", overrides=SMALL, resume=True)
    assert load_recipe(tmp_path / "cut").train.micro_batch is None
    assert [event["kind"] for event in resumed.record["events"]] == ["resumed"]


def test_a_run_that_another_process_writes_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collotype.runner.run_dir.WAIT_FOR_LOADERS_S", 0.2)
    with dir_lock(tmp_path / "run", ""), pytest.raises(UserError, match="was the launcher started twice"):
        collotype.run("desk-colpali", out=tmp_path / "run", overrides=SMALL)
    assert list((tmp_path / "run").iterdir()) == []


def test_explicit_negatives_take_part_however_the_batch_is_cut(tmp_path: Path) -> None:
    hard = {**SMALL, "train.steps": 3, "data.train.negatives": 2, "loss": {"name": "ColbertPairwiseNegativeCELoss"}}
    whole = collotype.run("desk-colpali", out=tmp_path / "whole", overrides=hard)
    cut = collotype.run("desk-colpali", out=tmp_path / "cut", overrides={**hard, "train.micro_batch": 2})
    easy = {**hard, "data.train.negatives": 0, "loss": {"name": "ColbertPairwiseCELoss", "temperature": 0.02}}
    none = collotype.run("desk-colpali", out=tmp_path / "none", overrides=easy)
    assert [run.record["plan"]["negatives_per_query"] for run in (whole, cut, none)] == [7 + 2, 7 + 2, 7]
    found = [[row["loss"] for row in rows(run.folder)] for run in (whole, cut, none)]
    assert found[1] == pytest.approx(found[0], rel=1e-5) and found[2] != pytest.approx(found[0], rel=1e-2)


def test_several_sources_are_one_training_set(tmp_path: Path) -> None:
    sources = [{"source": "sheets", "queries": n, "seed": n, "weight": w} for n, w in ((40, 1.0), (24, 3.0))]
    mixed = {**SMALL, "data": {"train": sources, "distinct": True}}
    run = collotype.run("desk-colpali", out=tmp_path / "run", overrides=mixed)
    assert run.record["data"]["train"]["examples"] == 64
    assert [source["examples"] for source in run.record["data"]["train"]["sources"]] == [40, 24]
    assert collotype.run(run.folder, resume=True).record["plan"]["epochs"] == 0.75


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    collotype.run("desk-colpali", out=tmp_path / "run", overrides=SMALL)
    weights, metrics = (tmp_path / "run" / "model" / "model.safetensors").read_bytes(), rows(tmp_path / "run")
    again = collotype.run(tmp_path / "run", resume=True)
    assert again.folder == tmp_path / "run"
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == weights
    assert rows(tmp_path / "run") == metrics


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"train.micro_batch": 5},
            "which cannot be divided by train.micro_batch = 5; the nearest values that work are 4 and 8",
        ),
        ({"model.preset": "colpaly"}, "Unknown preset 'colpaly'; the known presets are colpali-paper"),
        ({"data.train.pictures": "/nowhere"}, "Cannot read the shard /nowhere/twitter.tar"),
        (
            {"expect": [EXPECTED]},
            "expects the dataset 'vidore/x', which is not measured; measured are none.",
        ),
        (
            {
                "evaluate": [{"suite": "sheets"}],
                "expect": [
                    {"dataset": "sheets/held-out", "metric": "ndcg@5", "value": 1.0, "tolerance": 0, "source": "-"}
                ],
            },
            "expects the metric 'ndcg@5', which is not measured (did you mean ndcg_at_5?)",
        ),
        ({"data.train.weight": -1.0}, "greater than 0"),
        (
            {"data.train": [SOURCE, {**SOURCE, "weight": 1.0}]},
            "only some sources of data.train have a weight",
        ),
        ({"data.train.negatives": 1, "loss.name": "ColbertLoss"}, "which has some explicit negatives"),
        ({"data.train.queries": 7}, "data.train has too few examples (7) for a batch of 8"),
        ({"model.backbone": "paligemme"}, "Unknown backbone 'paligemme'; the known ones are paligemma"),
        ({"loss.name": "infonse"}, "unknown loss 'infonse' in the dialect colpali-engine>=0.3.11; it has infonce"),
        ({"negatives": {"scope": "process", "processes": 3}}, "a divisor of train.batch = 8"),
        ({"loss.name": "ColbertPairwiseNegativeCELoss"}, "its data, which has no explicit negatives"),
        ({"negatives.processes": 2}, "negatives.processes is 2 with the scope global"),
        ({"model.size": "huge"}, "has no size 'huge'; it has tiny"),
        ({"evaluate": [{"suite": "vidore"}]}, "Unknown suite 'vidore'"),
    ],
)
def test_what_cannot_run_is_said_before_anything_is_written(changes: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        collotype.run("desk-colpali", out=tmp_path / "run", overrides={**SMALL, **changes})
    assert words in str(error.value)
    assert not (tmp_path / "run").exists()


def test_the_batch_must_divide_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(
        UserError, match=r"train\.batch is 32, which cannot be divided by processes = 3; the nearest.* 2 and 4"
    ):
        check("desk-colpali")


def test_negatives_of_a_process_can_be_had_on_any_hardware(tmp_path: Path) -> None:
    """What per-device negatives do: two blocks of four, whoever computes them."""
    changes = {**SMALL, "negatives": {"scope": "process", "processes": 2}}
    whole = collotype.run("desk-colpali", out=tmp_path / "whole", overrides=changes)
    collotype.run("desk-colpali", out=tmp_path / "cut", overrides={**changes, "train.micro_batch": 2})
    assert whole.record["plan"]["negatives_per_query"] == 3
    losses = [[row["loss"] for row in rows(tmp_path / name)] for name in ("whole", "cut")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0][0] < 2.0, "the logarithm of 4 is 1.4, of 8 it is 2.1"


def test_a_recipe_object_runs_as_it_is(tmp_path: Path) -> None:
    run = collotype.run(load_recipe("desk-bipali", {**SMALL, "train.steps": 1}), out=tmp_path / "run")
    assert run.reproduced and run.verdict is None and run.results == {}
    assert run.model().encode_queries(["umbrella"])[0].shape == (1, 128)
