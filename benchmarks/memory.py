"""Peak memory of desk-colpali at a global batch of 256, beside a batch of 16, both in micro-batches of 8."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path


def peak_mib(batch: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        changes = {"train.batch": batch, "train.micro_batch": 8, "train.steps": 4}
        flags = [flag for key, value in changes.items() for flag in ("--set", f"{key}={value}")]
        command = [sys.executable, "-m", "collotype", "train", "desk-colpali", "--out", f"{folder}/run", *flags]
        subprocess.run(command, check=True, capture_output=True)
        return json.loads((Path(folder) / "run" / "record.json").read_text())["timing"]["peak_memory_mib"][0]


if __name__ == "__main__":
    row = {
        "what": "desk-colpali, peak memory at batch 256, micro-batch 8",
        "ours": peak_mib(256),
        "reference": peak_mib(16),
        "against": "batch 16, micro-batch 8",
        "unit": "MiB",
    }
    print(json.dumps([row]))
