"""OCR beside an earlier build (commit c4a5ae8, see `before.py`): CPU time of a page, and the words that are found.

python benchmarks/ocr.py                            four slides that come with the package
python benchmarks/ocr.py --pdf FILE --pages 3 40    pages of any PDF with a text layer, which says what is right

Both builds read the same images of 200 dpi, as the workers of `index` do where there is one for each core: ours on one
thread, the earlier one on as many as there are cores, which spin while they wait. A first image, which is not counted,
makes them load their models.
"""

import argparse
import json
import time
from collections import Counter
from pathlib import Path

DPI, POINTS = 200, 72
SLIDES, PAGES = "packaging-tutorial.en.pdf", (5, 20, 33, 60)


def ask(images: list[Path], threads: list[int]) -> dict[str, list]:
    """CPU seconds and terms of each image, by the build that is imported."""
    from PIL import Image

    from collotype.runtime.ocr import Ocr
    from collotype.runtime.terms import terms

    ocr, spent, found = Ocr(*threads), [], []
    ocr.words(Image.open(images[0]))
    for file in images:
        image = Image.open(file)
        started = time.process_time()
        words = ocr.words(image)
        spent.append(time.process_time() - started)
        found.append([term for word, _ in words for term in terms(word)])
    return {"cpu_s": spent, "terms": found}


def measure(file: Path, pages: list[int]) -> list[dict[str, str | float]]:
    from before import BEFORE, both_builds, spent
    from collotype.runtime import pdf
    from collotype.runtime.terms import terms

    with both_builds() as (builds, scratch):
        images = [scratch / f"{page}.png" for page in pages]
        for page, image in zip(pages, images, strict=True):
            pdf.render(file, page, longest(file, page)).save(image)
        asked = {
            name: json.loads(spent(source, __file__, "--ask", *map(str, images), *of_build)[1])
            for (name, source), of_build in zip(builds.items(), ((), ("--threads", "1")), strict=True)
        }
    right = [Counter(terms(pdf.text(file, page))) for page in pages]
    shares = {
        name: sum((Counter(found) & of).total() for found, of in zip(of_build["terms"], right, strict=True))
        / sum(of.total() for of in right)
        for name, of_build in asked.items()
    }
    rows = {
        f"OCR of a page ({file.stem}, pages {', '.join(map(str, pages))})": (
            {name: sum(of_build["cpu_s"]) / len(pages) for name, of_build in asked.items()},
            "CPU s",
        ),
        "the same: share of the text layer's terms": (shares, ""),
    }
    return [
        {"what": what, "ours": of["ours"], "reference": of["before"], "unit": unit, "against": BEFORE}
        for what, (of, unit) in rows.items()
    ]


def longest(file: Path, page: int) -> int:
    """Of the page's image, in pixels."""
    from collotype.runtime import pdf_page

    return round(DPI * max(pdf_page.inches(file, page)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pdf", type=Path)
    parser.add_argument("--pages", type=int, nargs="+", default=list(PAGES))
    parser.add_argument("--ask", type=Path, nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, nargs=1, default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        print(json.dumps(ask(options.ask, options.threads)))
        return
    from collotype.families.retriever.data.slides import FOLDER

    print(json.dumps(measure(options.pdf or FOLDER / SLIDES, options.pages)))


if __name__ == "__main__":
    main()
