"""kill -9 at any moment, then --resume: the same weights bit for bit, the same metrics."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import SMALL, as_flags

CHANGES = {**SMALL, "train.steps": 14, "train.checkpoint_every": 1, "train.schedule.warmup_fraction": 0.2}
KILLS = 4


def start(folder: Path, *more: str) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "collotype",
        "run",
        "desk-colpali",
        "--out",
        str(folder),
        *as_flags(CHANGES),
        *more,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(folder: Path) -> int:
    metrics = folder / "metrics.jsonl"
    return metrics.read_text().count("\n") if metrics.exists() else 0


def wait_for_lines(folder: Path, count: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while lines(folder) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def metrics(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_killed_runs_end_like_the_one_that_was_not(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait(timeout=200) == 0
    rng = random.Random(2)
    for number in range(KILLS):
        process = start(killed, *(["--resume"] if number else []))
        wait_for_lines(killed, 3 * number + 2, process)
        # into the step, the line, the checkpoint's write, its rename, or the clean-up of the old ones
        time.sleep(rng.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = start(killed, "--resume")
    assert last.wait(timeout=200) == 0, last.stderr.read()
    assert metrics(killed) == metrics(whole)
    for part in ("model/model.safetensors", "model/collotype.json", "model/tokenizer.json"):
        assert (killed / part).read_bytes() == (whole / part).read_bytes()
    assert not list(killed.rglob("*.partial"))
    record = json.loads((killed / "record.json").read_text())
    assert record["events"][0]["kind"] == "resumed" and record["events"][0]["step"] > 0


def test_ctrl_c_keeps_the_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = start(tmp_path / "run", "--set", "train.steps=500", "--set", "train.checkpoint_every=400")
    wait_for_lines(tmp_path / "run", 3, process)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    step = lines(tmp_path / "run")
    assert errors.strip().splitlines()[-1] == (
        f"collotype: Stopped after step {step} of 500, the checkpoint is kept; "
        f"go on with `collotype run {tmp_path / 'run'} --resume`."
    )
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == [f"step-{step:06d}"]
