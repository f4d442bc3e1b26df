"""An encoder that looks at pages and needs no model: a quarter of a page is a direction by its colour."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from collotype.runtime.errors import UserError
from collotype.search.image_query import WORD
from collotype.search.pages import EncodedPage, EncodedQuery, Page

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 220), "white": (255, 255, 255)}
QUARTERS = np.array([[x, y, x + 0.5, y + 0.5] for y in (0, 0.5) for x in (0, 0.5)], np.float32)


def direction(colour: Sequence[float]) -> np.ndarray:
    vector = np.array([*colour, 120], np.float32) - 120
    vector[3] = 60
    return vector / np.linalg.norm(vector)


class ColourEncoder:
    name, identity, dim, interaction = "colours", "colour-encoder", 4, "late"
    looks_at = "picture"

    def encode_pages(self, pages: Sequence[Page]) -> list[EncodedPage]:
        return [EncodedPage(quarters(page.image()), QUARTERS) for page in pages]

    def encode_queries(self, queries: Sequence[str]) -> list[EncodedQuery]:
        found = []
        for query in queries:
            words = tuple(query.split())
            named = [place for place, word in enumerate(words) if word in COLOURS]
            if not named:
                raise UserError(f"The query {query!r} names no colour.")
            found.append(EncodedQuery(np.array([direction(COLOURS[words[at]]) for at in named]), words, tuple(named)))
        return found

    def encode_images(self, images: Sequence[Image.Image]) -> list[EncodedQuery]:
        return [EncodedQuery(quarters(image), (WORD,), (0,) * 4) for image in images]


def quarters(image: Image.Image) -> np.ndarray:
    small = np.asarray(image.convert("RGB").resize((2, 2), Image.Resampling.BOX), np.float32).reshape(4, 3)
    return np.array([direction(colour) for colour in small])
