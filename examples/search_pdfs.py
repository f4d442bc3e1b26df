"""Search your PDFs: index a folder, ask, and see where on the page each word of the query was found.

    python examples/search_pdfs.py                                         # the bundled slides
    python examples/search_pdfs.py my-pdfs "net revenue by region" --model runs/own-pdfs/model

The default model reads words (the text layer, or OCR) and needs no GPU; a retriever's folder looks at the pages.
The same on the command line: `collotype index FOLDER --to library`, `collotype search library QUERY`.
"""

import argparse
from pathlib import Path

import collotype
from collotype.search.encoders import open_encoder
from collotype.search.heatmap import View, lit
from collotype.search.ingest import ingest
from collotype.search.ingest.rendering import Drawer

SLIDES = Path(collotype.__file__).parent / "assets" / "slides" / "packaging-tutorial.en.pdf"


def main() -> None:
    arguments = parse()
    encoder = open_encoder(arguments.model)
    if (arguments.index / "index.json").is_file():
        index = collotype.Index.open(arguments.index, encoder)
    else:
        index = collotype.Index.create(
            arguments.index,
            encoder_name=encoder.name,
            identity=encoder.identity,
            dim=encoder.dim,
            interaction=encoder.interaction,
        )
    report = ingest([arguments.pdfs], index, encoder)  # again: only what changed
    print(f"{report.added} pages indexed, {report.unchanged} unchanged, {len(report.skipped)} skipped")

    query = encoder.encode_queries([arguments.query])[0]
    hits = index.search(query, k=3)
    for hit in hits:
        print(f"{hit.link} · {hit.score:.2f} · {hit.text}")
        for place in hit.places:
            left, top, right, bottom = place.box
            print(f"    {place.word}: {place.score:.2f} at {left:.2f}, {top:.2f} to {right:.2f}, {bottom:.2f}")

    best = hits[0]
    file = arguments.pdfs if arguments.pdfs.is_file() else arguments.pdfs / best.document
    drawer = Drawer()
    seen = View(query, index.page(best.document, best.page).encoded, patches=encoder.looks_at == "picture")
    lit(drawer.draw(file, best.page, 1200), [seen]).save(arguments.heatmap)
    drawer.close()
    print(f"heatmap of the first: {arguments.heatmap}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pdfs", type=Path, nargs="?", default=SLIDES, help="a PDF or a folder of them")
    parser.add_argument("query", nargs="?", default="build a package in a clean chroot")
    parser.add_argument("--model", default="reader", help="the reader of words, or a retriever's folder")
    parser.add_argument("--index", type=Path, default=Path("library"))
    parser.add_argument("--heatmap", type=Path, default=Path("hit.png"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
