"""An index inside LangChain and LlamaIndex, as they are installed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collotype.runtime.errors import UserError
from collotype.search.index import Index
from collotype.search.ingest import ingest
from collotype.search.ingest.worker import image_of
from collotype.search.library import EmbeddedLibrary
from tests.search.hybrid.conftest import created
from tests.search.server.conftest import BOATS
from tests.search.word_encoder import WordEncoder
from tests.small_pdf import small_pdf


def langchain(library: EmbeddedLibrary, query: str) -> list[tuple[str, str, dict]]:
    from collotype.integrations.langchain import CollotypeRetriever

    found = CollotypeRetriever(library=library, k=2).invoke(query)
    return [(one.id, one.page_content, one.metadata) for one in found]


def llama_index(library: EmbeddedLibrary, query: str) -> list[tuple[str, str, dict]]:
    from llama_index.core.schema import MetadataMode

    from collotype.integrations.llama_index import CollotypeRetriever

    found = CollotypeRetriever(library, k=2).retrieve(query)
    read = found[0].node.get_content(MetadataMode.LLM) if found else ""
    assert "page: 2" in read and "places" not in read
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    return [(one.node.id_, one.node.text, one.node.metadata) for one in found]


@pytest.fixture
def library(tmp_path: Path) -> EmbeddedLibrary:
    (tmp_path / "boats.pdf").write_bytes(small_pdf(BOATS))
    ingest([tmp_path / "boats.pdf"], created(tmp_path / "index", WordEncoder()), WordEncoder(), workers=1)
    return EmbeddedLibrary(Index.open(tmp_path / "index"), WordEncoder(), image_of)


@pytest.mark.parametrize("ask", [langchain, llama_index])
def test_a_page_comes_with_its_words_and_where_it_is(library: EmbeddedLibrary, ask: Callable[..., Any]) -> None:
    pytest.importorskip("langchain_core" if ask is langchain else "llama_index.core")
    (name, text, facts), _ = ask(library, "sloop mast")
    assert (name, text) == ("boats.pdf#page=2", "A sloop has one mast")
    assert facts["link"].startswith("file:///") and facts["link"].endswith("/boats.pdf#page=2")
    assert [place["word"] for place in facts["places"]] == ["sloop", "mast"] and facts["found_by"][0]["rank"] == 1
    with pytest.raises(UserError, match="The query is empty"):
        ask(library, " ")
