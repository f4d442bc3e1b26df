"""The slides suite: four translations of one deck; a title of its outline is the query, the slide it names the answer.

`slides/titles` asks in the deck's own language, `slides/translated-titles` in the three others (the translations have
the same slides in the same order), so that its words mostly are not on the page.
"""

import hashlib
from collections import defaultdict
from functools import cached_property
from pathlib import Path

from collotype.families.retriever.benchmarks.benchmark import Benchmark, Pages
from collotype.runtime import pdf

FOLDER = Path(__file__).parents[3] / "assets" / "slides"
LANGUAGES = ("en", "de", "fr", "ja")
LONGEST_PX = 1024


class Deck:
    """One translation."""

    def __init__(self, language: str):
        self.language, self.path = language, FOLDER / f"packaging-tutorial.{language}.pdf"

    @cached_property
    def titles(self) -> list[tuple[str, int]]:
        """(title, page) of the outline's entries below its sections.

        A section's own entry leads to a slide that repeats the table of contents, which is no answer.
        """
        return [(title, page) for level, title, page in pdf.outline(self.path) if level > 0]

    @cached_property
    def pages(self) -> Pages:
        ids = [f"{self.language}-{page:02d}" for page in range(1, pdf.num_pages(self.path) + 1)]
        return Pages(
            ids,
            image=lambda place: pdf.render(self.path, place + 1, LONGEST_PX),
            size=lambda place: pdf.rendered_size(self.path, place + 1, LONGEST_PX),
            fingerprint=hashlib.sha256(self.path.read_bytes() + str(LONGEST_PX).encode()).hexdigest(),
            text=lambda place: pdf.text(self.path, place + 1),
            text_from="the text layer",
        )

    @cached_property
    def right(self) -> dict[int, set[int]]:
        """Which slides answer the title of the entry that leads to a slide.

        Those that entries of this title lead to (an exercise and its answer), and any slide with it as its heading.
        """
        answers: dict[str, set[int]] = defaultdict(set)
        for title, page in self.titles:
            answers[title].add(page)
        for page in range(1, pdf.num_pages(self.path) + 1):
            heading = pdf.text(self.path, page).partition("\n")[0].strip()
            if heading in answers:
                answers[heading].add(page)
        return {page: answers[title] for title, page in self.titles}


def slide_benchmarks() -> list[Benchmark]:
    """Both datasets, a subset for the language of each deck."""
    decks = [Deck(language) for language in LANGUAGES]
    own = [benchmark("slides/titles", deck, [deck]) for deck in decks]
    return own + [
        benchmark("slides/translated-titles", deck, [other for other in decks if other is not deck]) for deck in decks
    ]


def benchmark(name: str, deck: Deck, askers: list[Deck]) -> Benchmark:
    """The titles of the decks `askers` over the slides of `deck`."""
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    own = {page: title for title, page in deck.titles}
    for asker in askers:
        known: dict[str, str] = {}
        for title, page in asker.titles:
            # what is the same in both languages ("debian/copyright") is no translation
            if page not in own or (asker is not deck and title.casefold() == own[page].casefold()):
                continue
            query = known.setdefault(title, f"{asker.language}-{page:02d}")
            queries[query] = title
            answers = {deck.pages.ids[answer - 1]: 1 for answer in deck.right[page]}
            qrels[query] = {**qrels.get(query, {}), **answers}
    return Benchmark(name, queries, deck.pages, qrels, subset=deck.language)
