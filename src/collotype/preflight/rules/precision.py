"""Rules on the precision of training."""

from collections.abc import Iterator

from collotype.preflight.context import CheckContext
from collotype.preflight.rules.rule import REPAIRED, Evidence, rule, upstream_rule

OF_BF16 = ("qwen2-vl", "qwen2.5-vl", "qwen3-vl", "gemma3", "idefics3", "paligemma")
"""Backbones that were pre-trained in bf16."""


@rule(
    "bf16 with BatchNorm",
    "will differ",
    "open_clip issue 184",
    "time on an A100: 0.73 s a batch, 0.28 in fp16; its effect on accuracy was not published, and 250 steps "
    "of study-clip show none (docs/lessons.md)",
)
def half_precision_in_batch_norm(context: CheckContext) -> Iterator[Evidence]:
    if context.plan.get("precision") == "bf16" and "batch_norm_group" in context.plan:
        yield Evidence(
            seen="precision bf16",
            reference="fp16 with a loss scale, or fp32",
            why="A ResNet's activations between BatchNorms keep 8 bits of mantissa in bf16, and published ResNet CLIPs "
            "were trained in fp16 AMP.",
            fix="--set train.precision=fp16",
        )


@rule("bf16 on hardware without it", "blocks", "QwenLM/Qwen2-VL issue 182; colpali issue 84")
def no_bf16(context: CheckContext) -> Iterator[Evidence]:
    if context.on_old_card and context.recipe.train.precision == "bf16":
        yield Evidence(
            seen=f"precision bf16 on {context.plan['device']}",
            reference="a card of compute capability 8.0 or more (A100, L4, RTX 30 and later)",
            why="The card has no bf16 units; the run refuses to start rather than emulate it.",
            fix="--set train.precision=fp16, which keeps the range of small gradients by a loss scale",
        )


@rule("bf16 on a CPU", "note", "torch.autocast")
def bf16_on_a_cpu(context: CheckContext) -> Iterator[Evidence]:
    if context.plan["hardware"]["kind"] == "cpu" and context.plan.get("precision") == "bf16":
        yield Evidence(
            seen=f"precision bf16 on {context.plan['device']}",
            reference="fp32 on a CPU, bf16 on a GPU",
            why="A CPU computes bf16 correctly, and without AMX slower than fp32.",
            fix="--set train.precision=auto",
        )


@rule("fp16 overflow", "may differ", "QwenLM/Qwen3 issue 868; transformers issue 33294; colpali issue 84")
def fp16_overflow(context: CheckContext) -> Iterator[Evidence]:
    backbone = getattr(context.recipe.model, "backbone", None)
    if context.plan.get("precision") == "fp16" and backbone in OF_BF16 and context.recipe.model.weights:
        yield Evidence(
            seen=f"precision fp16 with {backbone}, which was pre-trained in bf16",
            reference=context.of_reference("train.precision") or "bf16",
            why="Activations beyond 65,504 are infinite in fp16: users of V100s report overflow from Qwen2's first "
            "layers on. Steps that overflow are skipped and counted here; outputs that do stop the run by name.",
            fix="bf16 on a card that has it (--set train.precision=bf16), or --set train.precision=fp32",
        )


@upstream_rule(
    "precision of another version's default", "may differ", "open_clip 6dc9461: amp became amp_bf16 in 2026-02"
)
def precision_by_default(context: CheckContext) -> Iterator[Evidence]:
    if context.was("open_clip") and context.upstream.get("precision_given") is False:
        yield Evidence(
            seen="no --precision",
            reference="--precision amp, the default when the README's curves were made",
            why="The default silently changed from fp16 AMP to bf16 AMP, so the same command trains differently.",
            fix=f"the recipe names it: train.precision {context.recipe.train.precision}",
        )


@upstream_rule("similarities in half precision", "may differ", "open_clip loss.py; docs/invariance.md")
def half_precision_loss(context: CheckContext) -> Iterator[Evidence]:
    precision = context.upstream.get("loss_precision", "")
    if step := {"bf16": "0.125", "fp16": "0.016"}.get(precision):
        yield Evidence(
            seen=f"similarities in the loss in {precision}",
            reference="fp32",
            why="The loss was computed within autocast, so similarities are rounded before they are compared.",
            effect=f"at a similarity of 16 to 32 two numbers are {step} apart",
            fix=f"{REPAIRED}: scores and losses are fp32",
        )


@upstream_rule("weights in half precision", "may differ", "colpali-engine's configurations (torch_dtype)")
def half_precision_weights(context: CheckContext) -> Iterator[Evidence]:
    kept, lora = context.upstream.get("weights_precision"), getattr(context.recipe.model, "lora", None)
    if kept in ("bf16", "fp16") and not lora:
        yield Evidence(
            seen=f"trained weights kept in {kept}",
            reference="fp32",
            why="Updates smaller than half of a weight's last bit are lost.",
            fix=f"{REPAIRED}: trained weights are fp32",
        )
