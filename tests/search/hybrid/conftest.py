"""A hybrid index of words and colours: two PDFs with words, and three pictures without."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from collotype.search.hybrid import parts
from collotype.search.hybrid.fusion import Weights
from collotype.search.hybrid.library import HybridLibrary
from collotype.search.index import Index
from collotype.search.ingest import ingest
from collotype.search.ingest.worker import image_of
from collotype.search.library import EmbeddedLibrary
from collotype.search.pages import Encoder
from tests.search.colour_encoder import COLOURS, ColourEncoder
from tests.search.server.conftest import BOATS, FRUIT
from tests.search.word_encoder import WordEncoder
from tests.small_pdf import small_pdf


def created(folder: Path, encoder: Encoder) -> Index:
    made_by = {"encoder_name": encoder.name, "identity": encoder.identity}
    return Index.create(folder, **made_by, dim=encoder.dim, interaction=encoder.interaction)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "fruit.pdf").write_bytes(small_pdf(FRUIT))
    (folder / "boats.pdf").write_bytes(small_pdf(BOATS))
    for name in ("red", "green", "blue"):
        Image.new("RGB", (90, 60), COLOURS[name]).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def opened(tmp_path: Path, documents: Path) -> Callable[[], HybridLibrary]:
    """The library, opened anew with each call; it is brought up to its documents by the first."""
    folder = tmp_path / "library"
    own, beside = created(folder, ColourEncoder()), created(folder / "also" / "1", WordEncoder())
    ingest([documents], own, ColourEncoder(), workers=1)
    parts.write(folder, [parts.Part(folder / "also" / "1", {"model": "words"})])
    parts.same_documents(folder, beside, WordEncoder(), workers=1)

    def open_again(weights: Weights | None = None) -> HybridLibrary:
        words = EmbeddedLibrary(Index.open(beside.folder), WordEncoder(), image_of)
        return HybridLibrary(Index.open(folder), ColourEncoder(), image_of, [words], weights)

    return open_again


@pytest.fixture
def library(opened: Callable[[], HybridLibrary]) -> HybridLibrary:
    return opened()
