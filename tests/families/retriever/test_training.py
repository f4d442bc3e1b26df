"""Training on pages of many sizes."""

import json
from pathlib import Path

import pytest
from tests.families.retriever.benchmarks.parquet_sets import as_png, write_table

import collotype
from collotype.families import task_for
from collotype.families.retriever.data.sheets import Pictures, training_sheet
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError
from collotype.training.loader import Collate

SIZES = [(96, 96), (168, 96), (96, 224), (140, 140)]


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder, pictures = tmp_path_factory.mktemp("pages"), Pictures()
    sheets = [training_sheet(pictures, row, 1) for row in range(16)]
    pages = [pictures.draw(sheet, "a test").resize(SIZES[row % 4]) for row, sheet in enumerate(sheets)]
    write_table(folder / "train.parquet", {"query": [s.query for s in sheets], "image": [*map(as_png, pages)]})
    return {
        "model.backbone": "qwen2-vl",
        "model.preset": "colqwen2-engine-0.3.4",
        "data.train": {"source": "pairs", "path": str(folder)},
        "train.batch": 8,
        "train.steps": 4,
        "train.precision": "fp64",
        "evaluate": [],
        "expect": [],
    }


def losses(folder: Path, changes: dict) -> list[float]:
    collotype.run("desk-colpali", out=folder, overrides=changes)
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_micro_batches_by_tokens_change_no_number(changes: dict, tmp_path: Path) -> None:
    whole = losses(tmp_path / "whole", changes)
    cut = losses(tmp_path / "cut", {**changes, "train.micro_batch_tokens": 100})
    assert cut == pytest.approx(whole, rel=1e-10)


def test_micro_batches_stay_within_the_tokens(changes: dict) -> None:
    task = task_for(load_recipe("desk-colpali", changes))
    examples = [task.datasets()[0].example(row, 0) for row in range(16)]
    groups = Collate(task, 100).groups(examples)
    assert [example for group in groups for example in group] == examples
    for group in groups:
        padded = task.collate(group)["pages"]["input_ids"].numel()
        assert padded <= 100 or len(group) == 1
    assert 4 < len(groups) < 16


def test_two_ways_to_cut_are_one_too_many() -> None:
    with pytest.raises(UserError, match="micro_batch_tokens is 100 with micro_batch 2"):
        load_recipe("desk-colpali", {"train.micro_batch_tokens": 100, "train.micro_batch": 2})
