"""`collotype mine`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from collotype.cli.options import Base, BatchTokens, Dtype, Json, ModelSource, Preset


def mine(
    model: ModelSource,
    data: Annotated[
        str,
        typer.Option(help="Queries and pages: a table, a hub dataset, PDFs, or a source as in a recipe, {source: …}."),
    ],
    out: Annotated[Path, typer.Option(help="The .jsonl or .parquet file to write.")],
    top_k: Annotated[int, typer.Option(min=1, help="How many of the best-scored other pages to consider.")] = 100,
    negatives: Annotated[int, typer.Option(min=1, help="How many negatives to keep for each query.")] = 16,
    max_score_ratio: Annotated[
        float, typer.Option(min=0, max=1, help="Drop pages above this fraction of the positive's score.")
    ] = 0.95,
    margin: Annotated[float, typer.Option(min=0, help="Drop pages closer than this to the positive's score.")] = 0.0,
    batch_tokens: BatchTokens = None,
    preset: Preset = None,
    base: Base = None,
    dtype: Dtype = None,
    as_json: Json = False,
) -> None:
    """Mine hard negatives for each query of a dataset.

    These are wrong pages that the model scores high. After an interruption it resumes.
    """
    from collotype.cli.terminal import Stages
    from collotype.families.retriever import commands

    rules = {"top_k": top_k, "negatives": negatives, "max_score_ratio": max_score_ratio, "margin": margin}
    with Stages(quiet=as_json) as progress:
        done = commands.mine(model, data, out, rules, batch_tokens, progress, preset, base, dtype)
    if as_json:
        print(json.dumps({"out": str(out), **done}))
        return
    found = f"{done['negatives']:,} negatives for {done['rows']:,} queries out of {done['different_pages']:,} pages"
    left = f"{done['rows_without_negatives']:,} queries left without"
    print(f"{out}: {found}; {done['likely_right']:,} pages dropped as probably relevant, {left}.")
