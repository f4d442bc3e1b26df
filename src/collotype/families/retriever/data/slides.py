"""The slides that come with the package: four translations of one deck, with the same slides in the same order.

`source: slides` trains on lines of text and the slides they stand on. The outline's titles are what the suite `slides`
asks, so no line that is a title or a heading is a query here, in any language.
"""

import hashlib
import re
from collections import defaultdict
from functools import cache, cached_property
from pathlib import Path

from collotype.families.retriever.data.pages import PageRef, PdfPage
from collotype.families.retriever.data.pairs import RefPairs
from collotype.families.retriever.recipe import SlideSource
from collotype.runtime import pdf

FOLDER = Path(__file__).parents[3] / "assets" / "slides"
LANGUAGES = ("en", "de", "fr", "ja")
BULLET = re.compile(r"^[^\w(<$/\"'.-]+")
FOOTER = re.compile(r"\d+ / \d+$")
MIN_CHARS = 6


class Deck:
    """One translation."""

    def __init__(self, language: str):
        self.language, self.path = language, FOLDER / f"packaging-tutorial.{language}.pdf"

    @cached_property
    def num_pages(self) -> int:
        return pdf.num_pages(self.path)

    @cached_property
    def titles(self) -> list[tuple[str, int]]:
        """(title, page) of the outline's entries below its sections.

        A section's own entry leads to a slide that repeats the table of contents, which is no answer.
        """
        return [(title, page) for level, title, page in pdf.outline(self.path) if level > 0]

    @cached_property
    def texts(self) -> list[str]:
        """The text layer of every slide."""
        return [pdf.text(self.path, page) for page in range(1, self.num_pages + 1)]

    @cached_property
    def headings(self) -> list[str]:
        """The first line of every slide."""
        return [text.partition("\n")[0].strip() for text in self.texts]

    def lines(self, page: int) -> list[str]:
        """What stands below a slide's heading, without bullets and footer."""
        below = self.texts[page - 1].splitlines()[1:]
        return [BULLET.sub("", line).strip() for line in below if not FOOTER.search(line)]


@cache
def packaged_decks() -> tuple[Deck, ...]:
    """A deck for each language, one and the same for training and evaluation, which both read its text."""
    return tuple(Deck(language) for language in LANGUAGES)


class SlidePairs(RefPairs):
    """Lines that stand on one slide only, each with this slide in every language: epochs take turns."""

    def __init__(self, source: SlideSource):
        self.decks = packaged_decks()
        self.page_px = source.page_px
        never = {title for deck in self.decks for title, _ in deck.titles}
        never |= {heading for deck in self.decks for heading in deck.headings}
        never = {text.casefold() for text in never}
        slides: dict[str, set[int]] = defaultdict(set)
        for deck in self.decks:
            for slide in range(1, min(deck.num_pages for deck in self.decks) + 1):
                for line in deck.lines(slide):
                    slides[line].add(slide)
        kept = [
            (line, min(on))
            for line, on in slides.items()
            if len(on) == 1 and len(line) >= MIN_CHARS and line.casefold() not in never
        ]
        self.queries, self.slides = [line for line, _ in kept], [slide for _, slide in kept]

    def pages(self, row: int) -> tuple[PageRef, ...]:
        return tuple(PdfPage(deck.path, self.slides[row], self.page_px) for deck in self.decks)

    def where(self, row: int) -> str:
        return f"slide {self.slides[row]}"

    def fingerprint(self) -> str:
        content = hashlib.sha256(f"{self.page_px} {self.queries} {self.slides}".encode())
        for deck in self.decks:
            content.update(deck.path.read_bytes())
        return content.hexdigest()
