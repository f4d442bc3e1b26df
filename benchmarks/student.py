"""What a query costs with a student in the place of ColQwen2-2B: CPU time and memory, each in a process of its own. The
teacher has the published shape in bf16 and random weights (4.4 GB, removed afterwards), the student is a text tower of
MiniLM's size with random weights: cost does not depend on what they have learned.

python benchmarks/student.py [--tiny]              some five minutes and 5 GB of disk
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import true_size_tasks

QUERIES = 12
QUERY = "What was the net revenue by region in the third quarter of {}?"


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--tiny", action="store_true")
    size = "tiny" if options.parse_args().tiny else "2b"
    with tempfile.TemporaryDirectory() as scratch:
        teacher, student = Path(scratch) / "teacher", Path(scratch) / "student"
        true_size_tasks.make(str(teacher), size)
        for part in (["distil", str(teacher), str(student)], ["cost", str(teacher)], ["cost", str(student)]):
            done = subprocess.run([sys.executable, __file__, *part], stdout=subprocess.PIPE, text=True, check=True)
            print(done.stdout.strip(), flush=True)


def distil(teacher: str, student: str) -> None:
    """Writes a student of random weights that belongs to the teacher."""
    from collotype.families import task_for
    from collotype.families.retriever.checkpoints import native
    from collotype.recipe import load_recipe

    changes = {"model.size": "minilm", "model.preset": "colqwen2-transformers", "distill.teacher": teacher}
    native.write(task_for(load_recipe("desk-distill", changes)).build(), Path(student))


def cost(source: str) -> None:
    """As a search has it."""
    started = time.process_time()
    from collotype.search.encoders import open_encoder

    encoder = open_encoder(source, dtype="auto")
    loaded, spent = time.process_time() - started, []
    for number in range(QUERIES):
        started = time.process_time()
        encoder.encode_queries([QUERY.format(2000 + number)])
        spent.append(time.process_time() - started)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    memory = {name: round(int(status[name].split()[0]) / 1024) for name in ("VmHWM", "RssAnon")}
    first, middle = spent[0], sorted(spent[1:])[len(spent[1:]) // 2]
    times = {"load_cpu_s": round(loaded, 2), "first_query_cpu_s": round(first, 3), "query_cpu_s": round(middle, 4)}
    print(json.dumps({"model": Path(source).name, "parameters": parameters(Path(source)), **times, **memory}))


def parameters(folder: Path) -> int:
    with (folder / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(one["shape"]) for name, one in header.items() if name != "__metadata__")


if __name__ == "__main__":
    tasks = {"distil": distil, "cost": cost}
    tasks[sys.argv[1]](*sys.argv[2:]) if sys.argv[1:2] and sys.argv[1] in tasks else main()
