"""The model card of an exported retriever: what its run's record knows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collotype.families.retriever.model import RetrieverConfig
from collotype.runtime.errors import UserError

LIBRARY = {
    "transformers": "transformers",
    "sentence-transformers": "sentence-transformers",
    "engine": "colpali",
    "engine-adapter": "colpali",
}


def find_record(model_folder: Path) -> dict[str, Any]:
    """The record of the run whose `model` folder this is; empty if it is not a run's."""
    file = model_folder.parent / "record.json"
    if not file.is_file():
        return {}
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); copy the model's folder elsewhere, then export it.") from error


def write_card(name: str, config: RetrieverConfig, layout: str, record: Mapping[str, Any]) -> str:
    """Markdown with the hub's metadata block."""
    preset, late = config.preset, config.interaction == "late"
    shape = (
        "a vector for every token (late interaction)" if late else f"a single vector ({config.pooling} of the tokens)"
    )
    lines = [
        "---",
        f"library_name: {LIBRARY[layout]}",
        "pipeline_tag: visual-document-retrieval",
        f"tags: [collotype, {'late-interaction' if late else 'sentence-similarity'}]",
        "---",
        f"# {name}",
        "",
        f"A page retriever: {config.backbone}, {shape}, exported from collotype.",
        "",
        "## How it frames queries and pages",
        "",
        "Other texts give other embeddings; whatever computes with this model must use these.",
        "",
        "| | |",
        "| --- | --- |",
        f"| preset | {preset.name} |",
        f"| query | {code(preset.query('…'))} |",
        f"| page | {code(preset.page_prompt)} |",
        f"| queries attend | {preset.query_attention} |",
        *([f"| visual tokens of a page | at most {preset.max_visual_tokens} |"] if preset.max_visual_tokens else []),
    ]
    if not record:
        return "\n".join([*lines, ""])
    recipe, plan = record["recipe"], record["plan"]
    train, data = recipe["train"], record["data"]["train"]
    lines += [
        "",
        "## How it was trained",
        "",
        "| | |",
        "| --- | --- |",
        f"| recipe | {recipe['name']} |",
        f"| started from | {recipe['model']['weights'] or 'random weights'} |",
        f"| data | {data['examples']} (query, page) pairs |",
        f"| loss | {recipe['loss']['name']}, {plan['negatives_per_query']} negatives per query |",
        f"| steps × batch | {train['steps']} × {train['batch']} |",
        f"| optimiser | {train['optimizer']['name']}, learning rate {train['optimizer']['lr']} |",
        f"| precision, seed | {plan['precision']}, {train['seed']} |",
    ]
    if record["results"]:
        lines += ["", "## Results", "", "| dataset | nDCG@5 | nDCG@10 | recall@5 |", "| --- | --- | --- | --- |"]
        for dataset, metrics in record["results"].items():
            shown = " | ".join(f"{metrics[name]:.4f}" for name in ("ndcg_at_5", "ndcg_at_10", "recall_at_5"))
            lines.append(f"| {dataset} | {shown} |")
    return "\n".join([*lines, ""])


def code(text: str) -> str:
    return f"`{json.dumps(text, ensure_ascii=False)[1:-1]}`"
