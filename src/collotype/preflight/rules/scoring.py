"""Rules on how published tools score."""

from collections.abc import Iterator

from collotype.preflight.context import CheckContext
from collotype.preflight.rules.rule import REPAIRED, Evidence, rule, upstream_rule

BIDIRECTIONAL = ("tencent/EVIE", "nvidia/nemotron-colembed-vl")
"""Repositories whose weights were trained bidirectionally on a backbone that is causal by its class; nothing in their
configurations says so."""
UNBOUNDED = 16_384
"""Visual tokens of a page that the released processor files of Qwen's models allow."""
GRADED = ("vidore-v3", "vidore-v3.1")


def evaluates(context: CheckContext) -> bool:
    return bool(context.upstream.get("evaluates_only"))


@upstream_rule(
    "evaluated in half precision",
    "may differ",
    "torch_dtype in mteb 2.26 and vidore-benchmark 5; amp in clip_benchmark",
)
def half_precision_model(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("evaluation_precision") in ("bf16", "fp16"):
        yield Evidence(
            seen=f"the model computes in {context.upstream.get('evaluation_precision')}",
            reference="fp32, or the same half precision on both sides of a comparison",
            why="Vectors are rounded to 8 bits of mantissa (bf16) or 11 (fp16), and published tables have both.",
            fix="collotype evaluate computes in fp32; --precision bf16 or fp16 is named in the result file",
        )


@upstream_rule(
    "attention kernel of another kind",
    "may differ",
    "mteb pull request 5450",
    "bf16 sdpa against FlashAttention 2: about 0.2 on a domain of ViDoRe v3",
)
def other_kernel(context: CheckContext) -> Iterator[Evidence]:
    attention = str(context.upstream.get("attention") or "")
    if evaluates(context) and attention.startswith("flash_attention_2"):
        yield Evidence(
            seen=f"attention {attention}, in {context.upstream.get('evaluation_precision') or 'half precision'}",
            reference="one kernel on both sides of a comparison",
            why="What is installed decides the kernel, and sums in half precision round differently in each.",
            fix="name the kernel beside the number; here it is sdpa, in fp32 unless --precision says another",
        )


@upstream_rule(
    "scores in half precision",
    "will differ",
    "vidore-benchmark's retrievers; colpali-engine's score_multi_vector, run on 0.3.18",
    "500 pages have 7 or 8 distinct scores a query, and the best page is that of fp32 for 62 % of the queries",
)
def half_precision_scores(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("score_precision") in ("bf16", "fp16"):
        yield Evidence(
            seen=f"MaxSim in {context.upstream.get('score_precision')}",
            reference="fp32, as mteb ranks",
            why="Scores that are rounded tie, and ties are broken by the page's name.",
            fix=f"{REPAIRED}: scores are fp32",
        )


@upstream_rule("scores that depend on the batch", "may differ", "vidore-benchmark issue 111; colpali issue 274")
def batch_dependent(context: CheckContext) -> Iterator[Evidence]:
    late = getattr(context.recipe.model, "interaction", None) == "late"
    if evaluates(context) and late and (context.upstream.get("evaluation_batch") or 1) > 1:
        yield Evidence(
            seen=f"{context.upstream.get('evaluation_batch')} pages are padded and scored together",
            reference="scores that do not know what else is in the batch",
            why="Padding is a vector of zeros, with which a negative similarity becomes 0: a short page's score "
            "depends on the longest one beside it.",
            fix=f"{REPAIRED}: padding is masked; of theirs state the batch size with the number",
        )


@upstream_rule("queries of the same text", "may differ", "colpali issue 147; docs/evaluation.md")
def repeated_queries(context: CheckContext) -> Iterator[Evidence]:
    how = context.upstream.get("repeated_queries")
    if how and any(choice.suite in ("vidore-v1", "qa") for choice in context.recipe.evaluate):
        merged = how == "merged"
        yield Evidence(
            seen="queries of the same text are one, with all their pages as right ones"
            if merged
            else "of queries of the same text the last one's page alone is right",
            reference="the counting of the table that is compared with",
            why="Published tables use one protocol or the other, and their names do not say which.",
            effect="DocVQA has 451 queries merged, of 500",
            fix=f"--counting {'vidore-benchmark' if merged else 'mteb'} counts the other way",
        )


@upstream_rule(
    "gain of another convention",
    "may differ",
    "mteb pull request 5450",
    "EVIE-8B on ViDoRe v3: 66.75 with 2^r - 1 (its card), 66.45 with linear gain (mteb)",
)
def other_gain(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("gain") and any(choice.suite in GRADED for choice in context.recipe.evaluate):
        yield Evidence(
            seen=f"{context.upstream.get('gain')} gain of graded judgements",
            reference="2^r - 1 on some model cards, linear in trec_eval, mteb and here",
            why="ViDoRe v3 has grades 1 and 2, and nDCG of the same ranking differs by how much a 2 is worth.",
            fix="compare with numbers of the same gain",
        )


@upstream_rule("answers normalised where the official accuracy does not", "may differ", "lmms-eval pull request 794")
def always_normalised(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("answers_normalised") == "always":
        yield Evidence(
            seen="every answer is brought to normal form (lmms-eval since 2025-08; before, it was as officially)",
            reference="the official vqaEval.py, which does so only where the people asked do not all agree",
            why="Where all ten say `black`, the answer `Black.` is wrong officially and right there.",
            fix=f"{REPAIRED}: accuracy is the official one, and EvalAI's",
        )


@upstream_rule("a model of no family here", "blocks", "docs/import.md")
def unknown_model(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("unknown_model"):
        yield Evidence(
            seen=str(context.upstream.get("unknown_model")),
            reference="a retriever, a CLIP or a BEiT-3",
            why="It cannot be evaluated here, but these findings on its tool apply.",
            fix="evaluate it with its own tool, and consider the findings above",
        )


@rule(
    "trained bidirectionally, built causal",
    "will differ",
    "mteb pull request 5450 and issue 5451",
    training=False,
)
def built_causal(context: CheckContext) -> Iterator[Evidence]:
    weights = str(context.recipe.model.weights or "")
    causal = context.plan.get("query_attention") != "bidirectional"
    if weights.startswith(BIDIRECTIONAL) and causal and not (context.was("mteb") and evaluates(context)):
        yield Evidence(
            seen=f"{weights} with causal attention",
            reference="bidirectional attention in its full-attention layers",
            why="Its backbone's class is causal, its config does not say that it was trained otherwise, and vectors "
            "of the wrong mask are finite.",
            fix="a preset whose attention is bidirectional; in colpali-engine both config.is_causal and every layer's",
        )


@upstream_rule(
    "visual budget left at the processor's", "may differ", "mteb pull request 5450; Qwen2-VL's preprocessor_config.json"
)
def unbounded_budget(context: CheckContext) -> Iterator[Evidence]:
    """The published retrievers' own files bound it; those of raw Qwen models and of EVIE do not."""
    asked, weights = context.upstream.get("max_visual_tokens"), str(context.upstream.get("weights") or "")
    raw = weights.rpartition("/")[2].lower().startswith(("qwen", "evie")) and not context.was("mteb")
    if (asked or 0) >= UNBOUNDED or (asked is None and raw):
        yield Evidence(
            seen=f"{asked or UNBOUNDED:,} visual tokens a page at most"
            + ("" if asked else f", those of the processor file of {weights}: no max_num_visual_tokens is given"),
            reference=f"{context.plan.get('max_visual_tokens') or 1024:,}",
            why="A page at 200 dpi becomes some 3,800 tokens, not 768 or 1,024: it costs more, and published "
            "numbers are of a smaller budget.",
            fix=f"{REPAIRED}: the preset bounds the budget",
        )


@upstream_rule(
    "a visual budget that is not a bound",
    "note",
    "the resizing of Qwen2-VL's processor (families/retriever/transforms.py)",
    "a cap of 16 gives 21 to 29 tokens to strips of 1 : 30 to 1 : 56",
)
def no_bound(context: CheckContext) -> Iterator[Evidence]:
    asked = context.upstream.get("max_visual_tokens")
    if asked and asked < 200:
        yield Evidence(
            seen=f"max_num_visual_tokens {asked}",
            reference="pages whose sides are less than that many times each other",
            why="Each side keeps one row of tokens at least, so a strip has as many tokens as it is longer than wide.",
            fix="cut such images, or plan memory for 200 tokens",
        )
