"""Training on pages of many sizes."""

import json
import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import collotype
from collotype.families import task_for
from collotype.families.retriever.checkpoints import native
from collotype.families.retriever.data.sheets import SheetImages, training_sheet
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError
from collotype.training.loader import Collate, load
from collotype.training.sampler import GlobalBatchSampler, RankMicroBatchSampler
from tests.families.retriever.benchmarks.parquet_sets import as_png, write_table

SIZES = [(96, 96), (168, 96), (96, 224), (140, 140)]


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder, images = tmp_path_factory.mktemp("pages"), SheetImages()
    sheets = [training_sheet(images, row, 1) for row in range(16)]
    pages = [images.draw(sheet, "a test").resize(SIZES[row % 4]) for row, sheet in enumerate(sheets)]
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


@pytest.fixture
def spawning() -> Iterator[None]:
    """As on systems where a new process does not start as a copy of its parent."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


def test_loader_processes_read_the_same_and_are_sent_no_weights(changes: dict, tmp_path: Path, spawning: None) -> None:
    native.write(task_for(load_recipe("desk-colpali", changes)).build(), tmp_path / "model")
    model = {"backbone": "qwen2-vl", "interaction": "late", "preset": "colqwen2-engine-0.3.4"}
    model["weights"] = str(tmp_path / "model")
    task = task_for(load_recipe("desk-colpali", {**changes, "model": model}))
    weights = sum(tensor.nbytes for tensor in task.contents.tensors.values())
    assert len(pickle.dumps([task.datasets(), Collate(task, 100)])) < weights / 10
    cut = RankMicroBatchSampler(GlobalBatchSampler(task.datasets(), 8, 42), 0, 1, 8, 1, 2)
    alone, beside = (list(load(task, task.datasets(), cut, workers, budget=100)) for workers in (0, 2))
    assert len(alone) == 2 and len(alone[0]) > 1
    torch.testing.assert_close(alone, beside, rtol=0, atol=0)
