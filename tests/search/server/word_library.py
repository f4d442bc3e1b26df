"""A library small enough for a test: PDFs in memory, found by the words they share with the query."""

import threading
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from collotype.runtime import pdf
from collotype.runtime.errors import UserError
from collotype.search.library import Indexed, Told
from collotype.search.pages import Hit, Place


class WordLibrary:
    encoder = "shared words"

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}
        self.texts: dict[str, list[str]] = {}
        self.go_on = threading.Event()
        self.go_on.set()

    def search(self, query: str, k: int, documents: Sequence[str] = ()) -> list[Hit]:
        hits = []
        for name in documents or list(self.files):
            for number, text in enumerate(self.texts[name], start=1):
                shared = [word for word in query.split() if word.lower() in text.lower()]
                places = tuple(
                    Place(word=word, box=(0.1, 0.1 + 0.1 * place, 0.4, 0.17 + 0.1 * place), score=0.9)
                    for place, word in enumerate(shared)
                )
                if shared:
                    hits.append(
                        Hit(document=name, page=number, score=len(shared), places=places, text=text, metadata={})
                    )
        return sorted(hits, key=lambda hit: -hit.score)[:k]

    def documents(self) -> list[Indexed]:
        return [Indexed(name=name, pages=len(self.texts[name]), file=file) for name, file in self.files.items()]

    def picture(self, document: str, page: int, longest_px: int) -> Image.Image:
        return pdf.render(self.files[document], page, longest_px)

    def heatmap(self, document: str, page: int, query: str, longest_px: int) -> Image.Image:
        return pdf.render(self.files[document], page, longest_px).convert("L")

    def check(self, file: Path) -> None:
        pdf.num_pages(file)

    def add(self, file: Path, name: str, told: Told) -> int:
        if not pdf.num_pages(file):
            raise UserError("no pages")
        texts = []
        for number in range(1, pdf.num_pages(file) + 1):
            texts.append(pdf.text(file, number))
            told(number, pdf.num_pages(file))
            assert self.go_on.wait(10)
        self.texts[name], self.files[name] = texts, file
        return len(texts)

    def delete(self, document: str) -> None:
        self.files.pop(document, None)
        self.texts.pop(document, None)
