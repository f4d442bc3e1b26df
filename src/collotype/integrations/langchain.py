"""An index as a retriever of LangChain: `pip install 'collotype[langchain]'`.

CollotypeRetriever.of("library", k=5).invoke("net revenue by region")
"""

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from collotype.integrations import retrieved


class CollotypeRetriever(BaseRetriever):
    """A document is a page: its words, and in the metadata document, page, link, places and what found it."""

    library: Any
    """An `IndexLibrary`, or one with a second stage."""
    k: int = 5
    documents: tuple[str, ...] = ()
    """Only in these."""

    @classmethod
    def of(cls, index: str, k: int = 5, documents: tuple[str, ...] = (), **options: Any) -> "CollotypeRetriever":
        """
        Args:
            index: its folder, or qdrant://HOST:PORT/COLLECTION; options: passwords, rerank, first.
        """
        return cls(library=retrieved.opened(index, **options), k=k, documents=documents)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [
            Document(
                id=f"{hit.document}#page={hit.page}",
                page_content=retrieved.text(self.library, hit),
                metadata=retrieved.facts(self.library, hit),
            )
            for hit in retrieved.hits(self.library, query, self.k, self.documents)
        ]
