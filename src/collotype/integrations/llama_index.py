"""An index as a retriever of LlamaIndex: `pip install 'collotype[llama-index]'`.

CollotypeRetriever.of("library", k=5).retrieve("net revenue by region")
"""

from collections.abc import Sequence
from typing import Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from collotype.integrations import retrieved
from collotype.search.library import IndexLibrary


class CollotypeRetriever(BaseRetriever):
    """A node is a page: its words, and in the metadata document, page, link, places and what found it.

    Args:
        documents: only in these.
    """

    def __init__(self, library: IndexLibrary, k: int = 5, documents: Sequence[str] = (), **options: Any):
        super().__init__(**options)
        self.library, self.k, self.documents = library, k, documents

    @classmethod
    def of(cls, index: str, k: int = 5, documents: Sequence[str] = (), **options: Any) -> "CollotypeRetriever":
        """
        Args:
            index: its folder, or qdrant://HOST:PORT/COLLECTION; options: passwords, rerank, first.
        """
        return cls(retrieved.opened(index, **options), k, documents)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [
            NodeWithScore(node=self.node(hit), score=hit.score)
            for hit in retrieved.hits(self.library, query_bundle.query_str, self.k, self.documents)
        ]

    def node(self, hit: Any) -> TextNode:
        facts = retrieved.facts(self.library, hit)
        # what is for programs is not read by a language model
        shown = {"document", "page", "label", "link"}
        return TextNode(
            id_=f"{hit.document}#page={hit.page}",
            text=retrieved.text(self.library, hit),
            metadata=facts,
            excluded_llm_metadata_keys=[name for name in facts if name not in shown],
            excluded_embed_metadata_keys=list(facts),
        )
