"""Fine-tune a page retriever on your PDFs: their outlines and captions are the queries, so nothing has to be labelled.

    python examples/fine_tune_on_pdfs.py                                   # a tiny model from scratch, bundled slides
    python examples/fine_tune_on_pdfs.py --pdfs my-pdfs --steps 200 \\
        --recipe colqwen2-v1.0 --weights vidore/colqwen2-base              # a published model, on a GPU

The run directory has the model, the metrics of every step and a report; `collotype run OUT --resume` goes on with a
stopped run.
"""

import argparse
from pathlib import Path

import pypdfium2

import collotype

SLIDES = Path(collotype.__file__).parent / "assets" / "slides"


def main() -> None:
    arguments = parse()
    overrides = {
        "data.train": {"source": "pdf-outline", "path": str(arguments.pdfs)},
        "train.steps": arguments.steps,
        "train.batch": arguments.batch,
        "evaluate": [],
        "expect": [],
    }
    if arguments.weights:
        overrides["model.weights"] = arguments.weights
    try:
        run = collotype.run(arguments.recipe, out=arguments.out, overrides=overrides)
    except collotype.UserError as error:
        raise SystemExit(f"{error}") from None
    print(f"trained on {run.record['data']['train']['examples']} queries; report: {run.folder / 'report.html'}")

    model = run.model()
    pdf = min(arguments.pdfs.rglob("*.pdf"))
    images = [page.render(scale=1).to_pil() for page in list(pypdfium2.PdfDocument(pdf))[:8]]
    scores = model.score(model.encode_queries([arguments.query]), model.encode_pages(images))  # [1, num_pages]
    print(
        f"of the first {len(images)} pages of {pdf.name}, page {int(scores.argmax()) + 1} answers {arguments.query!r}"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pdfs", type=Path, default=SLIDES, help="a folder of PDFs with outlines")
    parser.add_argument("--recipe", default="desk-slides", help="where all that is not said here comes from")
    parser.add_argument("--weights", help="a folder or a repository of the hub to start from; None trains from scratch")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--query", default="build packages")
    parser.add_argument("--out", default="runs/own-pdfs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
