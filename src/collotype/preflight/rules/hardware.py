"""Rules on what the device does not support, or has no memory for."""

from collections.abc import Iterator

from collotype.preflight.context import CheckContext
from collotype.preflight.rules.rule import REPAIRED, Evidence, rule, upstream_rule


@upstream_rule("flash attention where there is none", "blocks", "Dao-AILab/flash-attention issue 762")
def no_flash_attention(context: CheckContext) -> Iterator[Evidence]:
    missing = context.on_old_card or context.plan["hardware"]["kind"] == "cpu"
    if context.upstream.get("attention") == "flash_attention_2" and missing:
        yield Evidence(
            seen=f"attn_implementation flash_attention_2 on {context.plan['device']}",
            reference="a card of compute capability 8.0 or more, or sdpa",
            why="FlashAttention 2 has kernels for Ampere and later cards only.",
            fix=f"{REPAIRED}: torch's scaled_dot_product_attention takes the fastest kernel there is",
        )


@upstream_rule("recomputed blocks without gradient", "will differ", "open_clip issue 573; trl issue 3089")
def reentrant_checkpointing(context: CheckContext) -> Iterator[Evidence]:
    if context.upstream.get("reentrant_checkpointing") and context.upstream.get("frozen_inputs"):
        yield Evidence(
            seen="gradient checkpointing, reentrant, over frozen embeddings",
            reference="use_reentrant=False",
            why="A block without an input that needs a gradient gets no gradient, so its adapter does not learn; only "
            "a warning says so.",
            fix=f"{REPAIRED}: recomputation is not reentrant",
        )


@rule("4-bit weights without a GPU", "blocks", "bitsandbytes")
def quantized_without_gpu(context: CheckContext) -> Iterator[Evidence]:
    quantize = getattr(context.recipe.model, "quantize", "none")
    if quantize != "none" and context.plan["hardware"]["kind"] != "cuda":
        yield Evidence(
            seen=f"model.quantize {quantize} on {context.plan['device']}",
            reference="a GPU",
            why="The 4-bit kernels run on GPUs.",
            fix="--set model.quantize=none",
        )


@rule("not enough memory", "blocks", "the plan's estimate")
def too_little_memory(context: CheckContext) -> Iterator[Evidence]:
    needs, has = context.plan.get("estimate", {}).get("memory_mib", {}), context.plan["hardware"].get("memory_mib")
    total = sum(needs.values())
    if has and total > has:
        yield Evidence(
            seen=f"{total / 1024:.1f} GiB for {', '.join(needs)}",
            reference=f"{has / 1024:.1f} GiB on {context.plan['device']}",
            why="The run would stop in its first step.",
            fix="--set train.shard=fsdp on several cards; model.quantize=nf4; or a larger card",
        )


@rule("not enough room on the disk", "blocks", "the plan's estimate")
def too_little_disk(context: CheckContext) -> Iterator[Evidence]:
    needs, has = context.plan.get("estimate", {}).get("disk_mib"), context.plan.get("folder", {}).get("free_mib")
    if needs and has is not None and needs > has:
        yield Evidence(
            seen=f"{needs / 1024:.1f} GiB for checkpoints and models",
            reference=f"{has / 1024:.1f} GiB free",
            why="A full disk stops a run at a checkpoint; everything written before is kept.",
            fix="--set train.keep_checkpoints=1, or --out on another disk",
        )
