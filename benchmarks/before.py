"""The shell and the reader beside an earlier build (commit c4a5ae8, from this repository by `git worktree`): CPU time.

python benchmarks/before.py                  the four decks of slides that come with the package
python benchmarks/before.py --pdf FILE       any PDF with an outline and a text layer
python benchmarks/before.py --model NAME     reader-english or reader-multilingual in place of the default

CPU time of the whole process and its workers, so a busy machine changes little; both builds take turns. The earlier
one needs lancedb beside what this one does (extra `bench`).
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

BEFORE = "c4a5ae8"
ROOT = Path(__file__).parents[1]
SEARCHES, QUERIES, TOP = 5, 60, 10
CLIENTS, SERVED = 8, 240
"""Of the server: how many ask at the same time, and searches of them all."""


def cpu_s(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def spent(source: Path, *command: str) -> tuple[float, str]:
    """CPU seconds of a Python that runs the build in `source`, and what it printed."""
    before = cpu_s(resource.RUSAGE_CHILDREN)
    with started(source, *command) as process:
        said = process.communicate()[0]
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return cpu_s(resource.RUSAGE_CHILDREN) - before, said


def started(source: Path, *command: str) -> subprocess.Popen[str]:
    # -P: of this folder's modules each build has its own
    paths = os.pathsep.join(map(str, (source, source.parent / "benchmarks")))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen((sys.executable, "-P", *command), env=environment, stdout=subprocess.PIPE, text=True)


def served(source: Path, folder: Path) -> tuple[float, float, float]:
    """Of the server's searches: its CPU ms for one, how many a second it answers CLIENTS at a time, and the 95th
    percentile of their seconds."""
    seconds = []

    def ask(number: int) -> None:
        begun = time.monotonic()
        # none is asked twice
        query = urlencode({"q": f"two words of {number}", "k": 12})
        urlopen(f"{address}/api/search?{query}", timeout=60).read()
        seconds.append(time.monotonic() - begun)

    def used() -> float:
        user, system = Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    server = started(source, "-m", "collotype", "serve", str(folder), "--port", "0", "--rate", "100000")
    try:
        address = server.stdout.readline().split(" at ")[1].split()[0].rstrip("/")
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(ask, range(CLIENTS)))
            seconds.clear()
            before, begun = used(), time.monotonic()
            list(pool.map(ask, range(CLIENTS, CLIENTS + SERVED)))
            took = time.monotonic() - begun
        return 1000 * (used() - before) / SERVED, SERVED / took, sorted(seconds)[int(0.95 * SERVED)]
    finally:
        server.terminate()
        server.wait()


@contextmanager
def both_builds() -> Iterator[tuple[dict[str, Path], Path]]:
    """The sources of both, by the names "before" and "ours", and a folder, for as long as they are needed."""
    with tempfile.TemporaryDirectory() as scratch:
        earlier = Path(scratch, "build")
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", str(earlier), BEFORE], check=True, capture_output=True)
        try:
            yield {"before": earlier / "src", "ours": ROOT / "src"}, Path(scratch)
        finally:
            subprocess.run([*git, "remove", "--force", str(earlier)], check=True, capture_output=True)


def ask(folder: Path, pdf: Path | None, model: str) -> dict[str, float]:
    """What the build that is imported finds in an index of its own, and takes for a query: the same with any build."""
    from collotype.evaluation.ranking import mean_metrics
    from collotype.search.encoders import open_encoder
    from collotype.search.index import Index
    from reader import DECK, FOLDER, manual, slide_benchmarks, through

    encoder = open_encoder(model)
    index, times = Index.open(folder, encoder), []
    benchmarks = [manual(pdf)] if pdf else [one for one in slide_benchmarks() if one.name == "slides/titles"]
    found = [through(index, encoder, one, pdf or FOLDER / DECK.format(one.subset)) for one in benchmarks]
    for query in [query for one in benchmarks for query in one.queries.values()][:QUERIES]:
        started = time.process_time()
        index.search(encoder.encode_queries([query])[0], TOP)
        times.append(1000 * (time.process_time() - started))
    late = sorted(times)[int(0.95 * len(times))]
    return {"ndcg": mean_metrics(found)["ndcg_at_5"], "ms": statistics.median(times), "ms_p95": late}


def measure(builds: dict[str, Path], pdf: Path | None, model: str, scratch: Path) -> list[dict[str, str | float]]:
    from collotype.families.retriever.data.slides import FOLDER

    searched, found, sizes, indexed, pages, answered = {name: [] for name in builds}, {}, {}, {}, {}, {}
    of_pdf = ("--pdf", str(pdf)) if pdf else ()
    for name, source in builds.items():
        folder = scratch / name
        # the earlier build has one reader
        reader = "reader" if name == "before" else model
        command = ("-m", "collotype", "index", str(pdf or FOLDER), "--to", str(folder), "--model", reader, "--json")
        indexed[name], said = spent(source, *command)
        pages[name] = json.loads(said)["added"]
        sizes[name] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        found[name] = json.loads(spent(source, __file__, "--ask", str(folder), "--model", reader, *of_pdf)[1])
        answered[name] = served(source, folder)
    for _ in range(SEARCHES):
        for name, source in builds.items():
            searched[name].append(spent(source, "-m", "collotype", "search", str(scratch / name), "two words")[0])
    of = f"{pdf.stem if pdf else 'slides'}, {pages['ours']} pages"
    rows = {
        f"`collotype search` ({of})": ({name: statistics.median(each) for name, each in searched.items()}, "CPU s"),
        "`collotype index`, a page": ({name: 1000 * indexed[name] / pages[name] for name in builds}, "CPU ms"),
        "a query, 95th percentile": ({name: each["ms_p95"] for name, each in found.items()}, "CPU ms"),
        "a query, median": ({name: each["ms"] for name, each in found.items()}, "CPU ms"),
        "bytes of the index": ({name: size / 2**20 for name, size in sizes.items()}, "MiB"),
        "the server: a search": ({name: one[0] for name, one in answered.items()}, "CPU ms"),
        f"the server: searches a second, {CLIENTS} at a time": ({name: one[1] for name, one in answered.items()}, ""),
        "the same: their 95th percentile": ({name: one[2] for name, one in answered.items()}, "s"),
        "nDCG@5 of titles": ({name: each["ndcg"] for name, each in found.items()}, ""),
    }
    return [
        {"what": what, "ours": of["ours"], "reference": of["before"], "unit": unit, "against": BEFORE}
        for what, (of, unit) in rows.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pdf", type=Path)
    parser.add_argument("--model", default="reader")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        print(json.dumps(ask(options.ask, options.pdf, options.model)))
        return
    with both_builds() as (builds, scratch):
        print(json.dumps(measure(builds, options.pdf, options.model, scratch)))


if __name__ == "__main__":
    main()
