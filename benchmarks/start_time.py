"""What a fresh process takes: `import collotype` beside one that does nothing, `check` beside `import torch`.

The recipes are one of each family whose weights are not here, and those that read the most data of their own.
"""

import json
import statistics
import subprocess
import sys
import time

RUNS = 9
CHECKED = ("colpali-paper", "clip-rn50-cc3m", "beit3-large-vqav2", "desk-colpali", "desk-slides", "desk-vqa")


def seconds(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def beside(what: str, arguments: tuple[str, ...], reference: str) -> dict[str, str | float]:
    """Medians of runs that take turns."""
    pairs = [(seconds(*arguments), seconds("-c", reference)) for _ in range(RUNS)]
    ours, theirs = map(statistics.median, zip(*pairs, strict=True))
    return {"what": what, "ours": ours, "reference": theirs, "against": f"`python -c '{reference}'`", "unit": "s"}


rows = [beside("`python -c 'import collotype'`", ("-c", "import collotype"), "pass")]
for recipe in CHECKED:
    rows.append(beside(f"`collotype check {recipe}`", ("-m", "collotype", "check", recipe), "import torch"))
print(json.dumps(rows))
