"""`import collotype` in a fresh interpreter, beside an interpreter that does nothing."""

import json
import statistics
import subprocess
import sys
import time

RUNS = 15


def seconds(code: str) -> float:
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


print(
    json.dumps(
        [
            {
                "what": "`python -c 'import collotype'`",
                "ours": seconds("import collotype"),
                "reference": seconds("pass"),
                "against": "`python -c pass`",
                "unit": "s",
            }
        ]
    )
)
