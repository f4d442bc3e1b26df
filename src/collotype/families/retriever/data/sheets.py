"""Sheets: pages of 3 x 3 small images by two artists, and queries that name two of them.

A concept (say, "bicycle") has an image by each artist. Training shows both hands of most concepts; of some only the
first artist's. Pairs of concepts that held-out queries name are never named in a training query.
"""

import hashlib
import io
import random
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import yaml
from PIL import Image, UnidentifiedImageError

from collotype.families.retriever.data.pairs import Pair
from collotype.runtime.errors import UserError
from collotype.runtime.seeds import derive_seed
from collotype.runtime.shards.tar import TarShard

ASSETS = Path(__file__).parents[3] / "assets"
HANDS = ("twitter", "google")
SIDE, CELL_PX = 3, 32
SHEET_PX = SIDE * CELL_PX
HELD_OUT = 256
HELD_OUT_ONE_PAIR_IN = 10
HELD_OUT_SEED = 20241121


@dataclass(frozen=True)
class Sheet:
    """Nine (concept, hand) cells, row by row, and the query that names two of the concepts."""

    cells: tuple[tuple[str, int], ...]
    named: tuple[str, str]

    @property
    def query(self) -> str:
        return " and ".join(self.named)

    @cached_property
    def concepts(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.cells)

    def shows(self, *concepts: str) -> bool:
        """Are all of them on it?"""
        return self.concepts.issuperset(concepts)


class SheetImages:
    """The concepts and their tiles, CELL_PX square, from two tar shards."""

    def __init__(self, folder: str | None = None):
        self.folder = Path(folder) if folder else ASSETS / "pictures"
        concepts = yaml.load((ASSETS / "sheets.yaml").read_text(), yaml.BaseLoader)  # noqa: S506 - plain strings
        self.both_hands: dict[str, str] = concepts["both hands"]
        self.first_hand_only: dict[str, str] = concepts["first hand only"]
        self.keys = {**self.both_hands, **self.first_hand_only}
        self._tiles: dict[tuple[str, int], Image.Image] = {}

    @cached_property
    def shards(self) -> list[TarShard]:
        return [TarShard(self.folder / f"{hand}.tar") for hand in HANDS]

    def tile(self, concept: str, hand: int, origin: str) -> Image.Image:
        """The image of `concept` by that artist; `origin` names the row in an error."""
        if (concept, hand) not in self._tiles:
            key, shard = self.keys[concept], self.shards[hand]
            try:
                image: Image.Image = Image.open(io.BytesIO(shard.read(key, "png")))
                image = image.convert("RGB").resize((CELL_PX, CELL_PX), Image.Resampling.BICUBIC)
            except (UserError, UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
                raise UserError(
                    f"{origin}: the image {key}.png ({concept}) in {shard.path} cannot be read ({error}); replace it."
                ) from error
            self._tiles[concept, hand] = image
        return self._tiles[concept, hand]

    def draw(self, sheet: Sheet, origin: str) -> Image.Image:
        page = Image.new("RGB", (SHEET_PX, SHEET_PX), "white")
        for place, (concept, hand) in enumerate(sheet.cells):
            row, column = divmod(place, SIDE)
            page.paste(self.tile(concept, hand, origin), (column * CELL_PX, row * CELL_PX))
        return page

    def in_hands_training_shows(self, concepts: list[str], rng: random.Random) -> tuple[tuple[str, int], ...]:
        return tuple((name, rng.randrange(2) if name in self.both_hands else 0) for name in concepts)

    def texts(self) -> list[str]:
        """Every text a query can hold: what the vocabulary is made of."""
        return [*self.keys, "and"]

    @cached_property
    def digest(self) -> str:
        content = hashlib.sha256((ASSETS / "sheets.yaml").read_bytes())
        for shard in self.shards:
            content.update(shard.path.read_bytes())
        return content.hexdigest()


@cache
def packaged_images() -> SheetImages:
    """Those that come with the package, whose shards are opened once a process."""
    return SheetImages()


def is_held_out(first: str, second: str) -> bool:
    """Is this pair of concepts kept for held-out queries?"""
    return derive_seed("pair", *sorted((first, second))) % HELD_OUT_ONE_PAIR_IN == 0


def training_sheet(images: SheetImages, row: int, seed: int) -> Sheet:
    """Sheet `row` of the training stream `seed`: nine concepts, any hand training may show, no held-out pair named."""
    rng = random.Random(derive_seed(seed, "training sheet", row))
    while True:
        concepts = rng.sample(list(images.keys), SIDE * SIDE)
        cells = images.in_hands_training_shows(concepts, rng)
        named = tuple(rng.sample(concepts, 2))
        if not is_held_out(*named):
            return Sheet(cells, named)


def near_misses(images: SheetImages, sheet: Sheet, row: int, seed: int, count: int) -> list[Sheet]:
    """Explicit negatives of training sheet `row`: sheets that show one of its two named concepts, by turns."""
    misses = []
    for number in range(count):
        rng = random.Random(derive_seed(seed, "near miss", row, number))
        others = rng.sample([name for name in images.keys if name not in sheet.named], SIDE * SIDE - 1)
        concepts = rng.sample([sheet.named[number % 2], *others], SIDE * SIDE)
        misses.append(Sheet(images.in_hands_training_shows(concepts, rng), sheet.named))
    return misses


def held_out_sheets(images: SheetImages) -> list[Sheet]:
    """New combinations of images that training did show."""
    sheets = []
    for row in range(HELD_OUT):
        rng = random.Random(derive_seed(HELD_OUT_SEED, "held-out", row))
        named = sample_held_out_pair(rng, list(images.keys))
        others = rng.sample([name for name in images.keys if name not in named], SIDE * SIDE - 2)
        concepts = rng.sample([*named, *others], SIDE * SIDE)
        sheets.append(Sheet(images.in_hands_training_shows(concepts, rng), named))
    return sheets


def second_hand_sheets(images: SheetImages) -> list[Sheet]:
    """The harder part: all images by the second artist; training never showed the two named ones in that hand."""
    sheets = []
    for row in range(HELD_OUT):
        rng = random.Random(derive_seed(HELD_OUT_SEED, "second hand", row))
        first, second = rng.sample(list(images.first_hand_only), 2)
        concepts = rng.sample([first, second, *rng.sample(list(images.both_hands), SIDE * SIDE - 2)], SIDE * SIDE)
        sheets.append(Sheet(tuple((name, 1) for name in concepts), (first, second)))
    return sheets


def sample_held_out_pair(rng: random.Random, concepts: list[str]) -> tuple[str, str]:
    while True:
        first, second = rng.sample(concepts, 2)
        if is_held_out(first, second):
            return first, second


class SheetPairs:
    """Training pairs from sheets, made on demand: a function of (seed, row)."""

    closed_vocabulary = True
    regions, left_out = (), 0

    def __init__(self, images: SheetImages, num_queries: int, seed: int, num_negatives: int = 0):
        self.images, self.num_queries, self.seed, self.num_negatives = images, num_queries, seed, num_negatives

    def __len__(self) -> int:
        return self.num_queries

    def texts(self) -> list[str]:
        return self.images.texts()

    def page_size(self) -> tuple[int, int]:
        return SHEET_PX, SHEET_PX

    def example(self, row: int, epoch: int) -> Pair:
        sheet = training_sheet(self.images, row, self.seed)
        misses = near_misses(self.images, sheet, row, self.seed, self.num_negatives)
        page, *negatives = (self.images.draw(drawn, f"training row {row}") for drawn in (sheet, *misses))
        return Pair(sheet.query, page, tuple(negatives))

    def identities(self, row: int) -> tuple[Hashable, ...]:
        sheet = training_sheet(self.images, row, self.seed)
        return frozenset(sheet.named), sheet.cells

    def fingerprint(self) -> str:
        first = training_sheet(self.images, 0, self.seed)
        facts = f"{self.images.digest} {self.num_queries} {self.seed} {self.num_negatives} {first}"
        return hashlib.sha256(facts.encode()).hexdigest()
