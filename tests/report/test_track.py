"""Dashboards are told what metrics.jsonl is told, once a run, by their own clients."""

import json
import sys
from pathlib import Path

import pytest

import collotype
from collotype.runtime.errors import UserError
from tests.conftest import SMALL

SHORT = {**SMALL, "train.steps": 3, "train.checkpoint_every": 2}


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_tensorboard_has_the_curve_and_the_result(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    evaluated = {**SHORT, "evaluate": [{"suite": "sheets"}]}
    run = collotype.run("desk-colpali", out=tmp_path / "run", overrides=evaluated, track=["tensorboard"])
    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3]
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(losses(run.folder))
    (result,) = events.Scalars("sheets/held-out/ndcg_at_5")
    assert result.value == pytest.approx(run.results["sheets/held-out"]["ndcg_at_5"])


def test_wandb_keeps_a_run_together_when_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for resume in (False, True):
        collotype.run("desk-colpali", out=tmp_path / "run", overrides=SHORT, track=["wandb"], resume=resume)
    name = (tmp_path / "run" / "tracked-as").read_text().strip()
    files = list((tmp_path / "run" / "wandb").glob(f"offline-run-*-{name}/run-{name}.wandb"))
    assert len(files) == 2 and b"train/loss" in b"".join(file.read_bytes() for file in files)


def test_a_tracker_that_is_not_there_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    for name, words in {
        "trackio": "pip install 'collotype\\[trackio\\]'",
        "mlflow": "takes tensorboard, wandb",
    }.items():
        with pytest.raises(UserError, match=words):
            collotype.run("desk-colpali", out=tmp_path / "run", overrides=SHORT, track=[name])
    assert not (tmp_path / "run").exists()
