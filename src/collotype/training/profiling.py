"""Measures time and memory of a step, from one micro-batch through the engine."""

import time
from typing import Any

import torch

from collotype.recipe import Recipe
from collotype.runtime.device import peak_memory, reset_peak_memory
from collotype.runtime.world import World
from collotype.training.engine import Engine
from collotype.training.grad_cache import backward_through
from collotype.training.loader import load
from collotype.training.sampler import RankMicroBatchSampler
from collotype.training.task import Batch, Task


def measure_step(task: Task[Any, Any], recipe: Recipe, world: World, device: torch.device) -> dict[str, Any]:
    """Loads the model and the first step's examples, and passes the first micro-batch forward and back, twice.

    The first time pays for what happens once.

    Returns:
        `micro_batch`, `step_s` (seconds of an optimiser step, loading apart), `read_s` (seconds to read a step's
        examples in one loader process), `peak_memory_mib` (of this process), `from` (what was measured).
    """
    settings, datasets = recipe.train, task.datasets()
    engine = Engine(task, recipe, world, device)
    order = engine.order(datasets)
    micro_batch = settings.micro_batch
    if micro_batch == "auto":
        whole = task.batch_norm_group == settings.batch
        micro_batch = settings.batch // world.size if whole else engine.find_micro_batch(order)
    cut = RankMicroBatchSampler(order, world.rank, world.size, micro_batch, 1, 1)
    began = time.perf_counter()
    (loaded,) = load(task, datasets, cut, 0, settings.micro_batch_tokens, tolerant=recipe.data.max_bad_examples > 0)
    read_s = time.perf_counter() - began
    batches = loaded.micro_batches
    several = len(batches) > 1 and task.couples_examples
    engine.model.train()
    for _ in range(2):
        reset_peak_memory(device)
        seconds = pass_seconds(engine, batches, graph=True) + (pass_seconds(engine, batches, graph=False) * several)
    return {
        "micro_batch": cut.micro_batch,
        "step_s": float(f"{seconds * len(batches):.3g}"),
        "from": f"one measured micro-batch of {len(batches)}",
        "read_s": float(f"{read_s:.3g}"),
        "peak_memory_mib": round(peak_memory(device) / 2**20, 1),
    }


def pass_seconds(engine: Engine, batches: list[Batch], graph: bool) -> float:
    """Of the first micro-batch forward and, with `graph`, back."""
    began = time.perf_counter()
    outputs = engine.outputs(batches, 0, 1, graph)
    if graph:
        backward_through(outputs, {name: torch.zeros_like(tensor) for name, tensor in outputs.items()}, 1.0)
    if engine.device.type == "cuda":
        torch.cuda.synchronize(engine.device)
    engine.model.zero_grad(set_to_none=True)
    return time.perf_counter() - began
