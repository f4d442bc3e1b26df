"""Finds evaluation samples that are trained on, by their texts and, if these are equal, by their images."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from collotype.runtime.errors import UserError
from collotype.runtime.images import digest

MOST_TRAINED, MOST_MEASURED = 20_000, 2_000
"""Samples whose texts are looked at, evenly spread."""
MOST_IMAGES = 64
"""Measured samples whose images are looked at."""
SAME_TEXT = 4
"""Trained samples of one text whose images are looked at."""


@dataclass(frozen=True)
class Samples:
    """Images with texts: captions, queries or questions."""

    rows: int
    text: Callable[[int], str]
    images: Callable[[int], Iterable[Image.Image]]
    """The image of a row, or all right ones."""


def overlap(trained: Sequence[Samples], measured: Samples) -> dict[str, int]:
    """How many samples were `looked_at`, and how many of them are `shared` with what is trained on: all those of the
    same text if all whose images were compared are, else proportionally fewer."""
    known: dict[str, list[tuple[Samples, int]]] = {}
    for samples in trained:
        for row in spread(samples.rows, MOST_TRAINED // len(trained)):
            known.setdefault(plain(samples.text(row)), []).append((samples, row))
    looked_at = list(spread(measured.rows, MOST_MEASURED))
    same_text = [row for row in looked_at if plain(measured.text(row)) in known]
    compared = [same_text[place] for place in spread(len(same_text), MOST_IMAGES)]
    same = sum(shows_the_same(measured, row, known[plain(measured.text(row))][:SAME_TEXT]) for row in compared)
    return {"looked_at": len(looked_at), "shared": round(len(same_text) * same / len(compared)) if same else 0}


def spread(rows: int, most: int) -> Iterator[int]:
    """At most so many rows, evenly spread."""
    step = max(1, -(-rows // max(1, most)))
    return iter(range(0, rows, step))


def plain(text: str) -> str:
    return " ".join(text.lower().split())


def shows_the_same(measured: Samples, row: int, trained: Iterable[tuple[Samples, int]]) -> bool:
    ours = digests(measured, row)
    return any(ours & digests(samples, other) for samples, other in trained)


def digests(samples: Samples, row: int) -> set[str]:
    """Of the images, decoded: none of those that cannot be read, which is said elsewhere."""
    try:
        return {digest(image) for image in samples.images(row)}
    except (UserError, OSError):
        return set()
