"""PDFs and images spoiled at random, through ingestion: `python -m tests.search.fuzz FOLDER --count 500`.

It prints what became of them as JSON. A sound document among them must come through whole.
"""

import argparse
import io
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from collotype.search.index import Index
from collotype.search.ingest import Limits, Report, ingest
from tests.search.word_encoder import WordEncoder
from tests.small_pdf import small_pdf

SLIDES = Path(__file__).parents[2] / "src" / "collotype" / "assets" / "slides"
TOKENS = (b"/Count", b"/Length", b"/MediaBox", b"/Kids", b"/Rotate", b"obj", b"endstream", b"xref", b"/Filter", b"/W")
NUMBERS = (b"0", b"-1", b"99999999999", b"1e38", b"2147483648", b"nan", b"4294967295", b"[ ]", b"null")


def sources() -> list[tuple[str, bytes]]:
    """(ending, content) of sound files."""
    image = Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3))
    files = [(".pdf", small_pdf([["Some words", "on lines"], ["A second page"]], [("A mark", 2)]))]
    files += [(".pdf", small_pdf([[f"Page {number}"] for number in range(20)], page_keys="/MediaBox [0 0 9 9]"))]
    files += [(".pdf", (SLIDES / "packaging-tutorial.en.pdf").read_bytes())]
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"):
        content = io.BytesIO()
        image.save(content, kind)
        files.append((f".{kind.lower()}", content.getvalue()))
    return files


def spoil(content: bytes, random: np.random.Generator) -> bytes:
    """One to eight changes: bytes overwritten, cut out, doubled, or a number set to where programs stumble."""
    spoiled = bytearray(content)
    for _ in range(random.integers(1, 9)):
        place = int(random.integers(len(spoiled) or 1))
        length = int(random.integers(1, 64))
        match random.integers(6):
            case 0:
                spoiled[place : place + length] = random.bytes(length)
            case 1:
                del spoiled[place : place + length**2]
            case 2:
                spoiled[place:place] = spoiled[place : place + length]
            case 3:
                spoiled = spoiled[: max(1, place)] if random.random() < 0.2 else spoiled
            case 4:
                token = TOKENS[random.integers(len(TOKENS))]
                if (found := spoiled.find(token, place)) >= 0:
                    spoiled[found + len(token) : found + len(token) + 6] = b" " + NUMBERS[random.integers(len(NUMBERS))]
            case _:
                spoiled[place : place + 1] = bytes([random.integers(256)])
    return bytes(spoiled)


def spoiled_files(count: int, seed: int, small: bool) -> Iterator[tuple[str, bytes]]:
    random, sound = np.random.default_rng(seed), sources()
    weights = np.array([0.35, 0.35, 0.0 if small else 0.1] + [0.04] * 6)
    for number in range(count):
        ending, content = sound[int(random.choice(len(sound), p=weights / weights.sum()))]
        yield f"{number:04d}{ending}", spoil(content, random)


def run(folder: Path, count: int, seed: int = 0, small: bool = False) -> tuple[Report, Index]:
    """Indexes a sound document and `count` spoiled ones.

    Args:
        small: none of them from a whole deck of slides.
    """
    files = folder / "files"
    files.mkdir(parents=True)
    (files / "sound.pdf").write_bytes(small_pdf([["Sound"], ["And whole"]]))
    for name, content in spoiled_files(count, seed, small):
        (files / name).write_bytes(content)
    encoder = ImageEncoder()
    made_by = {"encoder_name": encoder.name, "identity": encoder.identity, "dim": encoder.dim}
    index = Index.create(folder / "index", **made_by, interaction="late")
    return ingest([files], index, encoder, limits=Limits(page_s=10.0)), index


class ImageEncoder(WordEncoder):
    """Looks at images, so that every page is drawn."""

    looks_at = "picture"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    started = time.monotonic()
    report, index = run(given.folder, given.count, given.seed)
    peak = {name: resource.getrusage(which).ru_maxrss >> 10 for name, which in WHO.items()}
    found = {"files": given.count, "documents": report.documents, "pages": len(index), "skipped": report.causes()}
    print(json.dumps({**found, "peak_mib": peak, "seconds": round(time.monotonic() - started, 1)}))


WHO = {"indexing": resource.RUSAGE_SELF, "a worker": resource.RUSAGE_CHILDREN}

if __name__ == "__main__":
    main()
