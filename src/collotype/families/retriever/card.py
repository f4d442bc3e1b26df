"""The model card of an exported retriever."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collotype.families.retriever.config import RetrieverConfig
from collotype.report.card import card

LIBRARY = {
    "transformers": "transformers",
    "sentence-transformers": "sentence-transformers",
    "engine": "colpali",
    "adapter": "colpali",
}


def write_card(source: Path, config: RetrieverConfig, layout: str, record: Mapping[str, Any]) -> str:
    """Markdown of the model in the folder `source`; `record` is its run's, empty if it has none."""
    preset, late = config.preset, config.interaction == "late"
    shape = (
        "a vector for every token (late interaction)" if late else f"a single vector ({config.pooling} of the tokens)"
    )
    what = (
        f"A page retriever: {config.backbone}, {shape}, exported from Collotype. Queries and pages are wrapped in the "
        "prompts below; other prompts give other embeddings, so any program that uses this model must use these."
    )
    facts = {
        "preset": preset.name,
        "query": code(preset.query("…")),
        "page": code(preset.page_prompt),
        "queries attend": preset.query_attention,
        **({"visual tokens of a page": f"at most {preset.max_visual_tokens}"} if preset.max_visual_tokens else {}),
    }
    metadata = {
        "library_name": LIBRARY[layout],
        "pipeline_tag": "visual-document-retrieval",
        "tags": f"[collotype, {'late-interaction' if late else 'sentence-similarity'}]",
    }
    return card(source, metadata, what, facts, record)


def code(text: str) -> str:
    return f"`{json.dumps(text, ensure_ascii=False)[1:-1]}`"
