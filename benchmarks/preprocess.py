"""Pages to tensors: our layouts beside transformers' own image processors, on the same pages; and padding in batches.

A page is an A4 scan of 1,240 x 1,754 pixels. Ours are bytes, which the model scales on its own device, theirs float32:
both times end with what the model is given.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

PAGES, ROUNDS = 8, 5


def seconds(work: Callable[[], Any]) -> float:
    """The best of some rounds: what the machine can do."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best / PAGES


def main() -> list[dict[str, Any]]:
    import transformers

    from collotype.families.retriever.batches import BATCH_TOKENS, cut_in_batches
    from collotype.families.retriever.transforms import Dynamic, Square

    transformers.logging.set_verbosity_error()
    rng = np.random.default_rng(0)
    pages = [Image.fromarray(rng.integers(0, 255, (1754, 1240, 3), np.uint8)) for _ in range(PAGES)]
    rows = []
    for title, layout in (("ColPali, 448 px", Square(448, 14)), ("ColQwen2, 768 tokens", Dynamic(14, 2, 2, 768))):
        name, settings = layout.image_processor()
        theirs = getattr(transformers, name)(**settings)
        ours = seconds(lambda layout=layout: layout.batch(pages))
        reference = seconds(lambda theirs=theirs: theirs(images=pages, return_tensors="pt"))
        what = f"{title}: a page to tensors"
        rows.append({"what": what, "ours": ours, "reference": reference, "against": name, "unit": "s"})
    layout = Dynamic(14, 2, 2, 768)
    shapes = [(1240, 1754), (1754, 1240), (1000, 1000), (800, 2000), (600, 400)]
    lengths = [rows_ * columns for rows_, columns in (layout.grid(shapes[n % 5]) for n in range(320))]

    def waste(batches: list[list[int]]) -> float:
        padded = sum(len(batch) * max(lengths[place] for place in batch) for batch in batches)
        return 1 - sum(lengths) / padded

    in_order = [list(range(start, start + 20)) for start in range(0, len(lengths), 20)]
    what = "320 pages of five shapes, part of a batch that is padding"
    ours = waste(cut_in_batches(lengths, BATCH_TOKENS))
    rows.append(
        {"what": what, "ours": ours, "reference": waste(in_order), "against": "batches of 20 in order", "unit": ""}
    )
    return rows


if __name__ == "__main__":
    print(json.dumps(main()))
