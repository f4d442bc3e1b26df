"""Runs every benchmark of this folder, each in a process of its own, and prints the table of docs/benchmarks.md.

python benchmarks/run.py            all
python benchmarks/run.py maxsim     one
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ALL = (
    "start_time",
    "maxsim",
    "step",
    "clip_step",
    "beit3_inference",
    "clip_loader",
    "memory",
    "preprocess",
    "pooling",
    "search",
    "search_processes",
    "invariance",
    "reader",
    "before",
    "ocr",
    "text_layer",
    "serve",
)


def main() -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("| what | ours | reference | ratio |\n| --- | --- | --- | --- |")
    for name in sys.argv[1:] or ALL:
        done = subprocess.run([sys.executable, HERE / f"{name}.py"], capture_output=True, text=True, check=True)
        for row in json.loads(done.stdout):
            ours, reference = (f"{row[side]:.3g} {row['unit']}".strip() for side in ("ours", "reference"))
            ratio = f"{row['ours'] / row['reference']:.2g}"
            print(f"| {row['what']} | {ours} | {reference}, {row['against']} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
