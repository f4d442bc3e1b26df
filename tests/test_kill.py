"""kill -9 at any moment, then --resume: the same weights bit for bit, the same metrics and curve."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import SMALL, as_flags

DRIVER = """
import contextlib, importlib, json, os, shutil, signal, sys
from pathlib import Path

from collotype import runner
from collotype.families.retriever.data import sheets
from collotype.runtime import files

root = Path(sys.argv[1])
sheets.HELD_OUT = 6
CHANGES = {"train.steps": 3, "train.batch": 2, "train.checkpoint_every": 1, "train.keep_checkpoints": 1, "expect": [],
           "evaluate": [{"suite": "sheets", "every_steps": 1}]}


def run(folder, **settings):
    runner.run("desk-colpali", out=folder, overrides=CHANGES, **settings)


def child(work):
    '''Forked before torch has computed anything, so that its threads are its own.'''
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def dying_at(number, work):
    '''`work`, killed just before (even numbers) or after (odd) its n-th change of the disk.'''
    seen = [0]

    def watched(change):
        def call(*arguments, **options):
            for moment in (0, 1):
                if seen[0] == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                seen[0] += 1
                if moment == 0:
                    value = change(*arguments, **options)
            return value
        return call

    watch(watched)
    work()


def watch(watched):
    for owner, name in ((os, "replace"), (os, "rename"), (os, "unlink"), (os, "rmdir"), (files.JsonLines, "append")):
        setattr(owner, name, watched(getattr(owner, name)))


def child_count(work):
    '''How many moments `dying_at` can tell apart in `work`.'''
    reading, writing = os.pipe()

    def count():
        seen = [0]
        def watched(change):
            def call(*arguments, **options):
                seen[0] += 1
                value = change(*arguments, **options)
                seen[0] += 1
                return value
            return call
        watch(watched)
        work()
        os.write(writing, str(seen[0]).encode())

    assert child(count) == 0
    return int(os.read(reading, 20))


def contents(folder):
    kept = ("model/model.safetensors", "evaluation/curve.jsonl")
    results = json.loads((folder / "evaluation/sheets/held-out.json").read_text())
    for circumstance in ("timing", "peak_memory_mib"):
        del results[circumstance]
    rows = files.JsonLines(folder / "metrics.jsonl").read()
    without_times = [{name: value for name, value in row.items() if name != "seconds"} for row in rows]
    return [(folder / name).read_bytes() for name in kept], results, without_times, (folder / "report.html").exists()


def whole():
    run(root / "whole")
    (root / "modules").write_text(" ".join(sys.modules))


assert child(whole) == 0
for name in (root / "modules").read_text().split():  # imported once for all that are forked
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
expected = contents(root / "whole")
changes = child_count(lambda: run(root / "counted"))
assert changes > 60
moments = sorted({*range(6), *range(6, changes, changes // 16)})
for number, moment in enumerate(moments):
    folder, overwriting = root / f"killed-{moment}", number % 3 == 0
    if overwriting:
        shutil.copytree(root / "whole", folder)
    status = child(lambda: dying_at(moment, lambda: run(folder, overwrite=overwriting)))
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (moment, status)
    assert child(lambda: run(folder, resume=True)) == 0, f"resuming after change {moment}"
    assert contents(folder) == expected, f"killed at change {moment}"
    assert not list(folder.rglob("*.partial")), f"killed at change {moment}"
    shutil.rmtree(folder)
print("kills", len(moments))
"""


def test_killed_at_any_change_of_the_disk_a_run_ends_like_the_one_that_was_not(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, tmp_path / "driver.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) > 16


def start(folder: Path, *more: str) -> subprocess.Popen:
    changes = {**SMALL, "train.steps": 12, "train.checkpoint_every": 1}
    command = [
        sys.executable,
        "-m",
        "collotype",
        "run",
        "desk-colpali",
        "--out",
        str(folder),
        *as_flags(changes),
        *more,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(folder: Path) -> int:
    metrics = folder / "metrics.jsonl"
    return metrics.read_text().count("\n") if metrics.exists() else 0


def wait_for(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def metrics(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_a_killed_process_ends_like_the_one_that_was_not(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait(timeout=200) == 0
    for reached in (3, 8):
        process = start(killed, *(["--resume"] if lines(killed) else []))
        wait_for(lambda count=reached: lines(killed) >= count, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = start(killed, "--resume")
    assert last.wait(timeout=200) == 0, last.stderr.read()
    assert metrics(killed) == metrics(whole)
    assert (killed / "model/model.safetensors").read_bytes() == (whole / "model/model.safetensors").read_bytes()
    resumed = [event["step"] for event in json.loads((killed / "record.json").read_text())["events"]]
    assert len(resumed) == 2 and 0 < resumed[0] < resumed[1]


def test_ctrl_c_keeps_the_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = start(tmp_path / "run", "--set", "train.steps=500", "--set", "train.checkpoint_every=400")
    wait_for(lambda: lines(tmp_path / "run") >= 3, process)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    step = lines(tmp_path / "run")
    assert errors == (
        f"collotype: Stopped after step {step} of 500; a checkpoint was written; "
        f"continue with `collotype run {tmp_path / 'run'} --resume`.\n"
    )
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == [f"step-{step:06d}"]


def test_ctrl_c_after_training_is_a_sentence_too(tmp_path: Path) -> None:
    process = start(tmp_path / "run", "--set", "train.steps=2", "--set", "evaluate=[{suite: sheets}]")
    wait_for(lambda: (tmp_path / "run" / "model").exists(), process)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert (
        errors
        == "collotype: Stopped; everything written so far is kept. Continue with the same command and --resume.\n"
    )
    again = start(tmp_path / "run", "--set", "train.steps=2", "--set", "evaluate=[{suite: sheets}]", "--resume")
    assert again.wait(timeout=200) == 0
