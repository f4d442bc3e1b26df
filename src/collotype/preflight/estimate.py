"""Estimates memory, disk and time of a run from the number of parameters and the cost of a pass."""

from collotype.recipe import Recipe
from collotype.report.plan import Plan

BYTES = {"fp64": 8, "fp32": 4, "bf16": 2, "fp16": 2}
NF4_BYTES = 0.56
"""Of a weight in 4 bits, its scales included."""
EFFICIENCY = {"cuda": 0.35, "cpu": 0.5}
"""The part of a device's matrix products per second that training reaches, about (of a CPU's, which are measured where
they run, 0.7 to 0.8 for a wide layer and less for small ones)."""


def moments(recipe: Recipe, width: int) -> int:
    """Bytes of the optimiser's state for a trained weight of `width` bytes."""
    return 2 * width if recipe.train.optimizer.name == "adamw" else 2


def memory_mib(recipe: Recipe, model: Plan, precision: str | None, processes: int) -> dict[str, float]:
    """MiB of one process, without activations: these depend on the micro-batch, and `auto` takes what is left."""
    train, width = recipe.train, 8 if precision == "fp64" else 4
    trained, total = model["trainable_parameters"], model["parameters"]
    frozen = NF4_BYTES if getattr(recipe.model, "quantize", "none") == "nf4" else BYTES[precision or "fp32"]
    parts = processes if train.shard == "fsdp" else 1
    needs = {
        "weights": (trained * width + (total - trained) * frozen) / parts,
        "gradients": trained * width / parts,
        "optimizer state": trained * moments(recipe, width) / parts,
        "averages": trained * width if train.ema_decay is not None else 0,
    }
    return {name: round(need / 2**20, 1) for name, need in needs.items() if need}


def disk_mib(recipe: Recipe, model: Plan, precision: str | None) -> float:
    """MiB of the checkpoints that are there at a time (one is written before one is removed) and of the models saved at
    the end."""
    train, trained = recipe.train, model["trainable_parameters"]
    averaged = train.ema_decay is not None
    frozen = (model["parameters"] - trained) * BYTES[precision or "fp32"]
    checkpoints = min(train.keep_checkpoints + 1 + train.keep_best, -(-train.steps // train.checkpoint_every))
    state = trained * (4 + moments(recipe, 4) + 4 * averaged)
    return float(round((state * checkpoints + (trained * 4 + frozen) * (1 + averaged)) / 2**20, 1))


def step_seconds(recipe: Recipe, plan: Plan) -> float | None:
    """Of an optimiser step, right within a factor of three or so; none where device or model are not known well enough.

    A trained weight takes three passes' work, a frozen one two (forward, and back to what is trained below it); a batch
    in several micro-batches whose loss couples it is computed once more, and so are activations that are not kept.
    """
    speed, gflops = plan["hardware"].get("tflops"), plan.get("forward_gflops")
    if not speed or not gflops:
        return None
    train = recipe.train
    share = train.batch // plan["processes"]
    several = plan["negatives_per_query"] > 0 and plan["micro_batch"] != share
    passes = 2 + (plan["trainable_parameters"] == plan["parameters"]) + several + train.gradient_checkpointing
    kind = plan["hardware"]["kind"]
    slower = 1 if kind == "cpu" or plan.get("precision") in ("bf16", "fp16") else 8
    return float(share * gflops * passes * slower / (speed * 1e3 * EFFICIENCY.get(kind, EFFICIENCY["cuda"])))
