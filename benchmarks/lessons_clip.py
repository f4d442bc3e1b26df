"""The known ways to miss a CLIP's number, measured at desk scale: `python benchmarks/lessons_clip.py --seeds 5`.

Each way is desk-clip with one thing changed, over several seeds; finished runs are kept and not run again. Prints the
table: top-1 among 1,905 names in the second artist's hand, mean ± sample deviation, and
the difference from the unchanged recipe seed by seed.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

WAYS: dict[str, tuple[str, ...]] = {
    "as the recipe says": (),
    "bf16 instead of fp32": ("train.precision=bf16",),
    "warm-up of half the run": ("train.schedule={name: cosine, warmup_fraction: 0.5}",),
    "warm-up of 12 % (10,000 of 85,110 steps)": ("train.schedule={name: cosine, warmup_fraction: 0.12}",),
    "negatives of 8 processes by themselves": ("negatives={scope: process, processes: 8}",),
    "beta2 0.999": ("train.optimizer.beta2=0.999",),
    "beta2 0.9": ("train.optimizer.beta2=0.9",),
    "BatchNorm over 16 examples": ("model.batch_norm_group=16",),
    "crops of 0.9 to 1.0 of the picture": ("data.augmentation={scale: [0.9, 1.0]}",),
}
DATASET, METRIC = "pictures/names", "top1"


def run(folder: Path, seed: int, changes: Sequence[str], common: Sequence[str]) -> float:
    record = folder / "record.json"
    if not record.is_file():
        sets = [f"--set={change}" for change in (*common, *changes, f"train.seed={seed}", "expect=[]")]
        command = [sys.executable, "-m", "collotype", "run", "desk-clip", "--out", str(folder), "--resume", *sets]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return json.loads(record.read_text())["results"][DATASET][METRIC]


def row(name: str, values: Sequence[float], base: Sequence[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else float("nan")
    differences = [value - other for value, other in zip(values, base, strict=False)]
    shown = f"{statistics.fmean(differences):+.3f}" if values is not base else ""
    if values is not base and len(differences) > 1:
        shown += f" ± {statistics.stdev(differences):.3f}"
    return f"| {name} | {len(values)} | {statistics.fmean(values):.3f} ± {spread:.3f} | {shown} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/lessons-clip"))
    parser.add_argument("--at-once", type=int, default=1, help="runs at a time, each on its own processes' threads")
    parser.add_argument("--only", nargs="*", default=None, help="numbers of the ways to measure, from 0")
    parser.add_argument("--set", nargs="*", default=[], help="changes common to all")
    given = parser.parse_args()
    ways = {
        number: (name, changes)
        for number, (name, changes) in enumerate(WAYS.items())
        if given.only is None or str(number) in given.only
    }
    seeds = range(42, 42 + given.seeds)
    with ThreadPoolExecutor(given.at_once) as pool:
        asked = {
            number: [pool.submit(run, given.out / f"{number}-{seed}", seed, changes, given.set) for seed in seeds]
            for number, (_, changes) in ways.items()
        }
        print("| what is changed | seeds | top-1 | difference |\n| --- | --- | --- | --- |", flush=True)
        base: list[float] = []
        for number, (name, _) in ways.items():
            values = [future.result() for future in asked[number]]
            base = base or values
            print(row(name, values, base), flush=True)


if __name__ == "__main__":
    main()
