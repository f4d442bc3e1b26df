"""Many runs of one recipe: what a study varies, or only the seed."""

import json
import shutil
from pathlib import Path

import pytest

from collotype import runner
from collotype.runner.callbacks import Callback
from collotype.runtime.errors import UserError
from collotype.study import run_study
from tests.conftest import SMALL

QUICK = {**SMALL, "train.steps": 1, "data.train.queries": 64, "evaluate": [{"suite": "sheets"}]}
STUDY = {"vary": {"train.optimizer.lr": [1e-3, 1e-2]}, "seeds": 2}
DATASET, METRIC = "sheets/held-out", "ndcg_at_5"


class Ear(Callback):
    def __init__(self) -> None:
        self.told = []

    def finished(self, run) -> None:
        self.told.append((run.record["recipe"]["train"]["optimizer"]["lr"], run.record["recipe"]["train"]["seed"]))


def measured(folder: Path) -> float:
    return json.loads((folder / "record.json").read_text())["results"][DATASET][METRIC]


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, Ear]:
    ear = Ear()
    folder = tmp_path_factory.mktemp("studied") / "study"
    _, found = run_study("desk-bipali", out=folder, overrides={**QUICK, "study": STUDY}, listener=ear)
    return folder, found, ear


def test_every_value_is_run_with_every_seed(studied: tuple[Path, dict, Ear]) -> None:
    folder, found, ear = studied
    assert ear.told == [(1e-3, 42), (1e-3, 43), (1e-2, 42), (1e-2, 43)]
    assert json.loads((folder / "study.json").read_text()) == found
    assert found["verdict"] is None
    first, second = found["variants"]
    assert (first["name"], second["name"]) == ("lr=0.001", "lr=0.01")
    for one in (first, second):
        values = [measured(folder / run["folder"]) for run in one["runs"]]
        assert one["results"][DATASET][METRIC]["values"] == values
    there, base = second["results"][DATASET][METRIC]["values"], first["results"][DATASET][METRIC]["values"]
    difference = second["differences"][DATASET][METRIC]
    assert difference["values"] == pytest.approx([a - b for a, b in zip(there, base, strict=True)])
    assert first["differences"] == {}


def test_a_study_leaves_a_table_and_a_page(studied: tuple[Path, dict, Ear]) -> None:
    folder, found, _ = studied
    head, _, first, second = (folder / "table.md").read_text().splitlines()
    assert head.startswith("| variant | seeds | nDCG@5 of sheets/held-out | difference |")
    mean = found["variants"][1]["results"][DATASET][METRIC]["mean"]
    assert first.startswith("| lr=0.001 | 2 | ") and second.startswith(f"| lr=0.01 | 2 | {mean:.3f} ± ")
    page = (folder / "report.html").read_text()
    assert "2 variants, 2 seeds each" in page and "train.optimizer.lr: 0.01" in page
    assert "lr=0.01/seed-43/report.html" in page and "<svg " in page


def test_a_study_goes_on_without_running_anything_twice(studied: tuple[Path, dict, Ear], tmp_path: Path) -> None:
    folder, found, _ = studied
    shutil.copytree(folder, tmp_path / "study")
    shutil.rmtree(tmp_path / "study" / "lr=0.01" / "seed-43")
    changes, ear = {**QUICK, "study": STUDY}, Ear()
    with pytest.raises(UserError, match="already contains a run; continue it with --resume"):
        run_study("desk-bipali", out=tmp_path / "study", overrides=changes)
    _, again = run_study("desk-bipali", out=tmp_path / "study", overrides=changes, resume=True, listener=ear)
    assert ear.told == [(1e-2, 43)] and again == found
    with pytest.raises(UserError, match=r"contains a run of another recipe \(train\.steps differ\)"):
        run_study("desk-bipali", out=tmp_path / "study", overrides={**changes, "train.steps": 2}, resume=True)


def test_several_seeds_are_a_study_of_nothing_else(tmp_path: Path) -> None:
    expected = {"dataset": DATASET, "metric": METRIC, "value": 0.9, "tolerance": 0.01, "source": "a test"}
    folder, found = run_study("desk-bipali", 2, tmp_path / "seeds", overrides={**QUICK, "expect": [expected]})
    (only,) = found["variants"]
    assert only["results"][DATASET][METRIC]["values"] == [measured(folder / f"seed-{seed}") for seed in (42, 43)]
    (comparison,) = found["verdict"]["comparisons"]
    assert comparison["measured"] == only["results"][DATASET][METRIC]["mean"] and not found["verdict"]["reproduced"]
    page = (folder / "report.html").read_text()
    assert "seed-43/report.html" in page and "not reproduced" in page


@pytest.mark.parametrize(
    ("study", "words"),
    [
        ({"vary": {"train.batch": [8, 16, 2.5]}}, r"variant batch=2\.5 of desk-bipali, at train\.batch: .*found 2\.5"),
        ({"vary": {"train.bacth": [8, 16]}}, r"did you mean 'batch'"),
        ({"variants": {"none": {}, "blocks": {"negatives.processes": 2}}}, r"use the scope `process`"),
        ({"vary": {"train.batch": [8, 99999]}}, r"data\.train has too few examples \(64\) for a batch of 99,999"),
    ],
)
def test_what_cannot_be_run_is_said_before_the_first_variant_is(study: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        run_study("desk-bipali", out=tmp_path / "study", overrides={**QUICK, "study": study})
    assert not (tmp_path / "study").exists()


def test_a_study_is_no_single_run_and_has_no_smoke_form(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a study of many runs"):
        runner.run("study-late", out=tmp_path / "run")
    with pytest.raises(UserError, match="has no smoke form; shorten it"):
        run_study("study-late", out=tmp_path / "run", smoke=True)
