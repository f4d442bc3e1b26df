"""Runs and indexes of models by name: what they write down, and that they go on with the same commits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import collotype
from collotype.families.retriever.data.sheets import Pictures, training_sheet
from collotype.runtime.errors import UserError
from tests.families.retriever.benchmarks.parquet_sets import as_png, write_table
from tests.hub.conftest import Hub, fetched
from tests.hub.imitation import folder_files, publish
from tests.hub.repositories import ADAPTER, BASE, move_base, publish_adapter
from tests.small_pdf import small_pdf

RECIPE = {
    "base": "desk-colpali",
    "name": "by-name",
    "model": {
        "backbone": "paligemma",
        "weights": ADAPTER,
        "interaction": "late",
        "dim": 128,
        "preset": "colpali-engine-0.2",
        "lora": {"rank": 2, "alpha": 2},
    },
    "data": {"train": {"source": "pairs", "path": "org/train"}},
    "train": {"batch": 2, "steps": 2, "checkpoint_every": 1, "optimizer": {"name": "adamw", "lr": 1e-4}},
    "evaluate": [{"suite": "qa", "path": "org/train", "split": "train"}],
    "expect": [],
}


def publish_rows(root: Path, work: Path, start: int = 0) -> None:
    pictures = Pictures()
    sheets = [training_sheet(pictures, start + row, 3) for row in range(4)]
    images = [as_png(pictures.draw(sheet, "a test")) for sheet in sheets]
    write_table(work / "data/train-0.parquet", {"query": [sheet.query for sheet in sheets], "image": images})
    publish(root, "datasets", "org/train", folder_files(work))


@pytest.fixture
def recipe(root: Path, tmp_path: Path) -> Path:
    publish_adapter(root, tmp_path / "work")
    publish_rows(root, tmp_path / "rows")
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(RECIPE))
    return file


def test_a_run_goes_on_with_the_commits_it_had(recipe: Path, root, hub: Hub, home, tmp_path, offline) -> None:
    folder = tmp_path / "run"
    record = collotype.run(recipe, out=folder).record
    names = {ADAPTER, BASE, "datasets/org/train"}
    assert set(record["hub"]) == names and all(len(commit) == 40 for commit in record["hub"].values())
    written = [
        folder / "hub.json",
        folder / "record.json",
        folder / "checkpoints/step-000002/state.json",
        folder / "evaluation/qa/train.json",
    ]
    kept, *others = (json.loads(file.read_text()) for file in written)
    assert kept == record["hub"] and all(other["hub"] == kept for other in others)
    move_base(root, tmp_path)
    publish_rows(root, tmp_path / "other-rows", start=50)
    (folder / "record.json").unlink()
    offline()
    hub.requests()
    again = collotype.run(recipe, out=folder, resume=True).record
    assert again["hub"] == kept and again["model"]["initial_sha256"] == record["model"]["initial_sha256"]
    assert hub.requests() == []


def test_what_cannot_be_is_told_before_anything_is_fetched(recipe: Path, root, hub: Hub, home, tmp_path) -> None:
    changes = {"train.optimizer.name": "paged_adamw_8bit"}
    with pytest.raises(UserError, match="runs on GPUs only"):
        collotype.run(recipe, out=tmp_path / "run", overrides=changes)
    with pytest.raises(UserError, match=r"train.batch is 3|does not divide|divisor"):
        collotype.run(recipe, out=tmp_path / "run", overrides={"train.batch": 3, "train.micro_batch": 2})
    assert hub.requests() == []
    settings = root / "models" / BASE / "settings.json"
    settings.write_text('{"gated": true}')
    with pytest.raises(UserError, match=f"{BASE} is gated, and nobody is logged in"):
        collotype.run(recipe, out=tmp_path / "run")
    requests = hub.requests()
    assert fetched(requests) == [] and sum(entry["bytes"] for entry in requests) < 100_000
    settings.unlink()
    (root / "datasets/org/train/settings.json").write_text('{"gated": true}')
    with pytest.raises(UserError, match="The dataset org/train is gated, and nobody is logged in"):
        collotype.run(recipe, out=tmp_path / "run")
    requests = hub.requests()
    assert fetched(requests) == [] and sum(entry["bytes"] for entry in requests) < 100_000
    assert not (tmp_path / "run").exists()


def command(hub: Hub, home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **hub.environment(home), **more}
    words = [sys.executable, "-m", "collotype", *arguments]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)


def test_an_index_is_searched_with_the_commit_that_made_it(recipe, root, hub: Hub, home, tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    (tmp_path / "a.pdf").write_bytes(small_pdf([["a plain page"]]))
    index = str(tmp_path / "index")
    made = command(hub, home, "index", str(tmp_path / "a.pdf"), "--to", index, "--model", ADAPTER)
    assert made.returncode == 0, made.stderr
    model = json.loads((tmp_path / "index/sources.json").read_text())["model"]
    assert model["model"] == ADAPTER and set(model["commits"]) == {ADAPTER, BASE}
    move_base(root, tmp_path)
    hub.requests()
    found = command(hub, home, "search", index, "plain", "--json", HF_HUB_OFFLINE="1")
    assert found.returncode == 0, found.stderr
    assert [hit["document"] for hit in json.loads(found.stdout)["hits"]] == ["a.pdf"] and hub.requests() == []
    again = command(hub, home, "index", str(tmp_path / "a.pdf"), "--to", index, "--model", ADAPTER)
    assert again.returncode == 0 and "1 unchanged" in again.stdout
    told = command(hub, home, "index", str(tmp_path / "a.pdf"), "--to", index, "--model", f"{ADAPTER}@main")
    assert told.returncode == 2 and "other weights or settings" in told.stderr


def test_check_says_how_much_a_run_fetches(recipe: Path, hub: Hub, home: Path) -> None:
    said = command(hub, home, "check", str(recipe))
    assert said.returncode == 0 and "blocks" not in said.stdout and "What a run fetches" in said.stdout
    assert hub.requests() == []
    asked = command(hub, home, "check", str(recipe), "--online")
    assert asked.returncode == 0 and "of 3 repositories of the hub" in asked.stdout, asked.stdout + asked.stderr
    assert fetched(hub.requests()) == []
