"""Pages a CPU second whose text layer is read, beside an earlier build (commit c4a5ae8, see `before.py`).

python benchmarks/text_layer.py              the four decks of slides that come with the package
python benchmarks/text_layer.py FILE...      any PDFs

Each file is read whole, by both builds in turn, on one thread; the fastest of several times counts.
"""

import argparse
import json
import time
from pathlib import Path

TURNS = 3


def ask(files: list[Path]) -> list[float]:
    """Pages a CPU second of each file, by the build that is imported."""
    from collotype.runtime import pdf

    found = []
    for file in files:
        pages = range(1, pdf.num_pages(file) + 1)
        started = time.process_time()
        for page in pages:
            pdf.words(file, page)
        found.append(len(pages) / (time.process_time() - started))
    return found


def measure(files: list[Path]) -> list[dict[str, str | float]]:
    from before import BEFORE, both_builds, spent

    fastest = {"before": [0.0] * len(files), "ours": [0.0] * len(files)}
    with both_builds() as (builds, _):
        for _ in range(TURNS):
            for name, source in builds.items():
                told = json.loads(spent(source, __file__, "--ask", *map(str, files))[1])
                fastest[name] = list(map(max, fastest[name], told))
    return [
        {"what": f"text layer of {file.stem}", "ours": ours, "reference": before, "unit": "pages/s", "against": BEFORE}
        for file, ours, before in zip(files, fastest["ours"], fastest["before"], strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        print(json.dumps(ask(options.files)))
        return
    from collotype.families.retriever.data.slides import FOLDER

    print(json.dumps(measure(options.files or sorted(FOLDER.glob("*.pdf")))))


if __name__ == "__main__":
    main()
