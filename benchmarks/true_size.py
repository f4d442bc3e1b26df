"""ColQwen2-2B at its true size: a folder of the published shape in bf16 (4.4 GB, random weights, written tensor by
tensor, removed afterwards), loaded, known by its digest, searched with and converted, beside transformers.

python benchmarks/true_size.py                     some fifteen minutes and 14 GB of disk
python benchmarks/true_size.py --tiny              the same of a small model, in a minute: does it run?
python benchmarks/true_size.py --today PYTHON      also beside the collotype of another environment, or worktree
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
GB, MIB = 1e9, 2**20
WATCHED = ("RssAnon", "RssFile", "VmRSS")


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--tiny", action="store_true")
    options.add_argument("--today", metavar="PYTHON")
    options.add_argument("--only", default="load,digest,search,convert")
    options.add_argument("--at", type=Path, help="where there is room [default: the folder for temporary files]")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.at) as scratch:
        work = Path(scratch)
        os.environ["COLLOTYPE_CACHE"] = str(work / "cache")
        made = json.loads(python(sys.executable, "make", str(work / "model"), "tiny" if asked.tiny else "2b"))
        for part in asked.only.split(","):
            for row in PARTS[part](work, made, asked.today):
                print(json.dumps(row), flush=True)


def python(interpreter: str, *task: str) -> str:
    """What one of TASKS prints, in a process of its own."""
    done = subprocess.run([interpreter, str(HERE / "true_size_tasks.py"), *task], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(task)} failed")
    return done.stdout.decode()


def watched(interpreter: str, *task: str) -> dict:
    """The same, with wall and CPU time and the most memory of each kind, looked at every 20 ms."""
    before, began = os.times(), time.perf_counter()
    running = subprocess.Popen([interpreter, str(HERE / "true_size_tasks.py"), *task], stdout=subprocess.PIPE)
    peaks = dict.fromkeys(WATCHED, 0)
    while running.poll() is None:
        for name, value in memory_of(running.pid).items():
            peaks[name] = max(peaks[name], value)
        time.sleep(0.02)
    wall, after = time.perf_counter() - began, os.times()
    if running.returncode:
        raise SystemExit(f"{' '.join(task)} failed")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    said = running.stdout.read().decode().strip().split("\n")[-1]
    return {**peaks, "wall": wall, "cpu": cpu, **(json.loads(said) if said.startswith("{") else {})}


def memory_of(process: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    found = dict(line.split(":") for line in lines if ":" in line)
    return {name: int(found[name].split()[0]) * 1024 for name in WATCHED if name in found}


def row(what: str, ours: float, reference: float, against: str, unit: str) -> dict:
    return {"what": what, "ours": ours, "reference": reference, "against": against, "unit": unit}


def load(work: Path, made: dict, today: str | None) -> list[dict]:
    model, wide = str(work / "model"), 2 * made["bytes"]
    ours = best([watched(sys.executable, "load", model, "bf16") for _ in range(2)])
    theirs = best([watched(sys.executable, "transformers", model) for _ in range(2)])
    name = "transformers' from_pretrained and its tokenizer"
    in_float = watched(sys.executable, "load", model, "fp32")
    rows = [
        row("ColQwen2-2B, load in bf16: CPU", ours["cpu_s"], theirs["cpu_s"], name, "s"),
        row("the same: memory that it adds", ours["added"] / MIB, theirs["added"] / MIB, name, "MiB"),
        row("load to float32: peak anonymous memory", in_float["RssAnon"] / GB, wide / GB, "the float32 weights", "GB"),
        row("the same: peak resident memory", in_float["VmRSS"] / GB, wide / GB, "the float32 weights", "GB"),
    ]
    if today:
        before = watched(today, "load", model)
        rows.append(row("the same: CPU", in_float["cpu_s"], before["cpu_s"], "before", "s"))
        rows.append(row("the same: peak resident memory", in_float["VmRSS"] / GB, before["VmRSS"] / GB, "before", "GB"))
    return rows


def best(runs: list[dict]) -> dict:
    return min(runs, key=lambda run: run["cpu_s"])


def digest(work: Path, made: dict, today: str | None) -> list[dict]:
    model = str(work / "model")
    first = watched(sys.executable, "digest", model)
    again = watched(sys.executable, "digest", model)
    rows = [row("digest, weights seen before: CPU", again["cpu_s"], first["cpu_s"], "for the first time", "s")]
    if today:
        before = watched(today, "digest", model)
        rows.append(row("the same", again["cpu_s"], before["cpu_s"], "before", "s"))
        assert before["sha256"] == first["sha256"] == again["sha256"], "another digest of the same weights"
    return [*rows, row("the same: extra memory", again["added"] / MIB, 50, "allowed", "MiB")]


def search(work: Path, made: dict, today: str | None) -> list[dict]:
    """In an index that the other version made, if there is one: its model is known again."""
    python(sys.executable, "pages", str(work / "pages"))
    place, model = str(work / "index"), str(work / "model")
    python(today or sys.executable, "collotype", "index", str(work / "pages"), "--to", place, "--model", model)
    query = ("collotype", "search", place, "two words", "--json")
    shutil.rmtree(work / "cache" / "digests", ignore_errors=True)
    first, again = (watched(sys.executable, *query) for _ in range(2))
    rows = [row("`search` with it, one query: CPU", again["cpu"], first["cpu"], "for the first time", "s")]
    if today:
        before = watched(today, *query)
        rows += [
            row("the same", again["cpu"], before["cpu"], "before", "s"),
            row("the same: peak resident memory", again["VmRSS"] / GB, before["VmRSS"] / GB, "before", "GB"),
        ]
    return rows


def convert(work: Path, made: dict, today: str | None) -> list[dict]:
    rows, out, size = [], work / "out", made["bytes"] / GB
    for layout in ("transformers", "sentence-transformers", "engine"):
        shutil.rmtree(out, ignore_errors=True)
        done = watched(sys.executable, "collotype", "convert", str(work / "model"), "--to", layout, "--out", str(out))
        written = sum(file.stat().st_size for file in out.rglob("*.safetensors"))
        rows += [
            row(f"`convert --to {layout}`: peak anonymous memory", done["RssAnon"] / GB, size, FILE, "GB"),
            row("the same: bytes written", written / GB, size, FILE, "GB"),
            row("the same: CPU", done["cpu"], 99, "before", "s"),
        ]
    refused = [sys.executable, "-m", "collotype", "convert", out, "--preset", "colqwen2-engine-0.3.4"]
    began = time.perf_counter()
    done = subprocess.run([*refused, "--to", "transformers", "--out", work / "no"], capture_output=True, check=False)
    assert done.returncode == 2, done.stderr
    return [*rows, row("a conversion refused: wall", time.perf_counter() - began, 37, "before", "s")]


FILE = "the published file"
PARTS = {"load": load, "digest": digest, "search": search, "convert": convert}

if __name__ == "__main__":
    main()
