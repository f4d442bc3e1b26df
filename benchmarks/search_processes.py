"""An index under processes that are killed, and under several at once. Fails where a page is lost or there twice.

python benchmarks/search_processes.py                      20 kills; two writers and a reader for a minute
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.search.made import kill_at_random, write_and_read_together

KILLS, KILLED_WITHIN_S, TOGETHER_S = 20, 2.0, 60.0

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        acknowledged = kill_at_random(Path(folder) / "killed", KILLS, KILLED_WITHIN_S)
        documents, searches = write_and_read_together(Path(folder) / "together", TOGETHER_S)
    counts = {
        f"kill -9 of a writer, {KILLS} times: pages acknowledged, all there once": acknowledged,
        f"two writers and a reader, {TOGETHER_S:.0f} s: documents, all there with all pages once": documents,
        "the same: searches, none wrong": searches,
    }
    rows = [
        {"what": what, "ours": float(count), "unit": "", "reference": float(count), "against": "expected"}
        for what, count in counts.items()
    ]
    print(json.dumps(rows))
