"""The desk recipe on other cuts of the hardware, beside one process that takes the whole batch at once.

Losses of the first 20 steps in float32 and of 50 steps in float64 (largest relative difference of a step), then the
whole recipe in either (difference of the final nDCG@5). Every run is a process, or several, of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHORT = {"evaluate": [], "expect": [], "train.checkpoint_every": 1000}
FIRST_STEPS = SHORT | {"train.steps": 20}
IN_FLOAT64 = SHORT | {"train.steps": 50, "train.precision": "fp64"}


@dataclass(frozen=True)
class Cut:
    """One way to cut the same work."""

    what: str
    processes: int = 1
    changes: dict[str, Any] = field(default_factory=dict)


WHOLE = Cut("one process, whole batch")
CUTS = [
    Cut("micro-batch 8", changes={"train.micro_batch": 8}),
    Cut("micro-batch 1", changes={"train.micro_batch": 1}),
    Cut("3 loader workers", changes={"train.workers": 3}),
    Cut("activations computed twice", changes={"train.gradient_checkpointing": True}),
    Cut("2 processes", 2),
    Cut("2 processes, micro-batch 4", 2, {"train.micro_batch": 4}),
    Cut("2 processes, sharded", 2, {"train.shard": "fsdp"}),
    Cut("4 processes", 4),
    Cut("4 processes, micro-batch 2", 4, {"train.micro_batch": 2}),
]
WHOLE_RECIPE_CUTS = [Cut("2 processes", 2), Cut("4 processes, micro-batch 2", 4, {"train.micro_batch": 2})]


def run(cut: Cut, common: dict[str, Any], folder: Path) -> Path:
    flags = [flag for key, value in {**common, **cut.changes}.items() for flag in ("--set", f"{key}={value}")]
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={cut.processes}"]
    command = [sys.executable, *(launcher if cut.processes > 1 else []), "-m", "collotype", "run", "desk-colpali"]
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // cut.processes))}
    done = subprocess.run(
        [*command, "--out", str(folder), *flags], capture_output=True, text=True, env={**os.environ, **threads}
    )
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    return folder


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def headline(folder: Path) -> float:
    return json.loads((folder / "record.json").read_text())["results"]["sheets/held-out"]["ndcg_at_5"]


def largest_difference(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) / abs(a) for a, b in zip(one, other, strict=True))


def row(what: str, ours: float, allowed: float) -> dict[str, Any]:
    return {"what": what, "ours": ours, "reference": allowed, "against": "allowed", "unit": ""}


def main(below: Path) -> list[dict[str, Any]]:
    rows = []
    for common, title, allowed in (
        (FIRST_STEPS, "20 steps in float32", 1e-5),
        (IN_FLOAT64, "50 steps in float64", 1e-8),
    ):
        expected = losses(run(WHOLE, common, below / title / "whole"))
        for cut in CUTS:
            found = losses(run(cut, common, below / title / cut.what))
            rows.append(row(f"{title}, {cut.what}: losses", largest_difference(expected, found), allowed))
    for precision in ("fp32", "fp64"):
        common, title = {"train.precision": precision}, f"whole recipe in {precision}"
        expected = headline(run(WHOLE, common, below / title / "whole"))
        for cut in WHOLE_RECIPE_CUTS:
            found = headline(run(cut, common, below / title / cut.what))
            what = f"{title}, {cut.what}: nDCG@5 ({found:.4f}, {expected:.4f})"
            rows.append(row(what, abs(found - expected), 0.01))
    return rows


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(main(Path(folder))))
