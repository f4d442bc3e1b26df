"""The slides suite: four translations of one deck; a title of its outline is the query, the slide it names the answer.

`slides/titles` asks in the deck's own language, `slides/translated-titles` in the three others (the translations have
the same slides in the same order), so that its words mostly are not on the page.
"""

import hashlib
from collections import defaultdict

from collotype.families.retriever.benchmarks.benchmark import Pages, RetrievalBenchmark
from collotype.families.retriever.data.slides import Deck, packaged_decks
from collotype.runtime import pdf

LONGEST_PX = 1024


def pages_of(deck: Deck) -> Pages:
    return Pages(
        [f"{deck.language}-{page:02d}" for page in range(1, deck.num_pages + 1)],
        image=lambda place: pdf.render(deck.path, place + 1, LONGEST_PX),
        size=lambda place: pdf.rendered_size(deck.path, place + 1, LONGEST_PX),
        fingerprint=hashlib.sha256(deck.path.read_bytes() + str(LONGEST_PX).encode()).hexdigest(),
        text=lambda place: deck.texts[place],
        text_from="the text layer",
    )


def right_slides(deck: Deck) -> dict[int, set[int]]:
    """Which slides answer the title of the entry that leads to a slide.

    Those that entries of this title lead to (an exercise and its answer), and any slide with it as its heading.
    """
    answers: dict[str, set[int]] = defaultdict(set)
    for title, page in deck.titles:
        answers[title].add(page)
    for page, heading in enumerate(deck.headings, start=1):
        if heading in answers:
            answers[heading].add(page)
    return {page: answers[title] for title, page in deck.titles}


def slide_benchmarks() -> list[RetrievalBenchmark]:
    """Both datasets, a subset for the language of each deck."""
    decks = packaged_decks()
    own = [benchmark("slides/titles", deck, [deck]) for deck in decks]
    return own + [
        benchmark("slides/translated-titles", deck, [other for other in decks if other is not deck]) for deck in decks
    ]


def benchmark(name: str, deck: Deck, askers: list[Deck]) -> RetrievalBenchmark:
    """The titles of the decks `askers` over the slides of `deck`."""
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    pages, right = pages_of(deck), right_slides(deck)
    own = {page: title for title, page in deck.titles}
    for asker in askers:
        known: dict[str, str] = {}
        for title, page in asker.titles:
            # what is the same in both languages ("debian/copyright") is not a translation
            if page not in own or (asker is not deck and title.casefold() == own[page].casefold()):
                continue
            query = known.setdefault(title, f"{asker.language}-{page:02d}")
            queries[query] = title
            answers = {pages.ids[answer - 1]: 1 for answer in right[page]}
            qrels[query] = {**qrels.get(query, {}), **answers}
    return RetrievalBenchmark(name, queries, pages, qrels, subset=deck.language)
