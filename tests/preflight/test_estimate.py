"""What a run needs is said in MiB, of 2**20 bytes."""

import shutil
from pathlib import Path

import torch

from collotype.preflight.estimate import disk_mib, memory_mib
from collotype.preflight.hardware import present
from collotype.recipe import load_recipe
from collotype.runner.planning import folder_facts
from collotype.runtime.device import memory_limit

MIB = 2**20
MODEL = {"parameters": 3 * MIB, "trainable_parameters": MIB}


def test_memory_is_counted_in_mebibytes() -> None:
    """AdamW in fp32: 4 bytes of a weight, its gradient, and two moments."""
    recipe = load_recipe("desk-colpali")
    expected = {"weights": 12.0, "gradients": 4.0, "optimizer state": 8.0}
    assert memory_mib(recipe, MODEL, "fp32", processes=1) == expected
    assert memory_mib(recipe, MODEL, "bf16", processes=1) == {**expected, "weights": 8.0}


def test_disk_is_counted_in_mebibytes() -> None:
    """Three checkpoints at a time (two are kept, one is being written) of 12 bytes a trained weight, and the model."""
    assert disk_mib(load_recipe("desk-colpali"), MODEL, "fp32") == 3 * 12.0 + 12.0
    one = load_recipe("desk-colpali", {"train.steps": 200, "train.checkpoint_every": 200})
    assert disk_mib(one, MODEL, "fp32") == 12.0 + 12.0


def test_what_there_is_is_counted_in_mebibytes(tmp_path: Path) -> None:
    """Within a part in a hundred: other programs take and give meanwhile. A megabyte is a twentieth less."""
    free = folder_facts(tmp_path)["free_mib"] * MIB
    assert abs(free / shutil.disk_usage(tmp_path).free - 1) < 0.02
    cpu = torch.device("cpu")
    assert abs(present(cpu)[1]["memory_mib"] * MIB / memory_limit(cpu) - 1) < 0.04
