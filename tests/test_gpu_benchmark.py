"""benchmarks/gpu.py in its small form: every cell is measured, or says what is missing."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def test_the_small_form_runs_on_any_machine(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--tiny", "--out", tmp_path / "gpu.json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / "gpu.json").read_text())["cells"]
    failed = {what: cell["failed"] for what, cell in cells.items() if "failed" in cell}
    assert all("late_interaction_kernels" in cause for cause in failed.values())
    assert {"ColPali 3B", "ColQwen2 2B", "ColQwen3.5 0.8B"} < {what.split(",")[0] for what in cells}
    assert any(what.startswith("BEiT-3") for what in cells) and len(cells) > len(failed) + 25
