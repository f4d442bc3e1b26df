"""What the device cannot do, or has no room for."""

from collections.abc import Iterator

from collotype.check.case import Case
from collotype.check.rules.rule import REPAIRED, Seen, rule, theirs


@theirs("flash attention where there is none", "blocks", "Dao-AILab/flash-attention issue 762")
def no_flash_attention(case: Case) -> Iterator[Seen]:
    missing = case.on_old_card or case.plan["hardware"]["kind"] == "cpu"
    if case.theirs("attention") == "flash_attention_2" and missing:
        yield Seen(
            seen=f"attn_implementation flash_attention_2 on {case.plan['device']}",
            reference="a card of compute capability 8.0 or more, or sdpa",
            why="FlashAttention 2 has kernels for Ampere and later cards only.",
            fix=f"{REPAIRED}: torch's scaled_dot_product_attention takes the fastest kernel there is",
        )


@theirs("recomputed blocks without gradient", "will differ", "open_clip issue 573; trl issue 3089")
def reentrant_checkpointing(case: Case) -> Iterator[Seen]:
    if case.theirs("reentrant_checkpointing") and case.theirs("frozen_inputs"):
        yield Seen(
            seen="gradient checkpointing, reentrant, over frozen embeddings",
            reference="use_reentrant=False",
            why="A block none of whose inputs needs a gradient gets none: its adapter does not learn, with a warning "
            "only.",
            fix=f"{REPAIRED}: recomputation is not reentrant",
        )


@rule("4-bit weights without a GPU", "blocks", "bitsandbytes")
def quantized_without_gpu(case: Case) -> Iterator[Seen]:
    if getattr(case.recipe.model, "quantize", "none") != "none" and case.plan["hardware"]["kind"] != "cuda":
        yield Seen(
            seen=f"model.quantize {case.recipe.model.quantize} on {case.plan['device']}",
            reference="a GPU",
            why="The 4-bit kernels run on GPUs.",
            fix="--set model.quantize=none",
        )


@rule("not enough memory", "blocks", "the plan's estimate")
def too_little_memory(case: Case) -> Iterator[Seen]:
    needs, has = case.plan.get("estimate", {}).get("memory_mib", {}), case.plan["hardware"].get("memory_mib")
    total = sum(needs.values())
    if has and total > has:
        yield Seen(
            seen=f"{total / 1024:.1f} GiB for {', '.join(needs)}",
            reference=f"{has / 1024:.1f} GiB on {case.plan['device']}",
            why="The run would stop in its first step.",
            fix="--set train.shard=fsdp on several cards; model.quantize=nf4; or a larger card",
        )


@rule("not enough room on the disk", "blocks", "the plan's estimate")
def too_little_disk(case: Case) -> Iterator[Seen]:
    needs, has = case.plan.get("estimate", {}).get("disk_mib"), case.plan.get("folder", {}).get("free_mib")
    if needs and has is not None and needs > has:
        yield Seen(
            seen=f"{needs / 1024:.1f} GiB for checkpoints and models",
            reference=f"{has / 1024:.1f} GiB free",
            why="A full disk stops a run at a checkpoint; what was written before is kept.",
            fix="--set train.keep_checkpoints=1, or --out on another disk",
        )
