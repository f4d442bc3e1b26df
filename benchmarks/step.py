"""A step of desk-colpali: ours through the engine, beside the same model, data and optimiser in a bare loop.

The bare loop does what a step cannot do without: build the batch, forward, loss, backward, clip, optimiser. The
difference is what the engine costs. Both alternate in one process.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from collotype.families import task_for
from collotype.recipe import load_recipe
from collotype.runtime.process import World
from collotype.training.engine import Hooks, train
from collotype.training.optim import make_optimizer

STEPS, ROUNDS = 20, 5


def bare(task, recipe) -> float:
    model, data = task.build(), task.dataset("train")
    optimizer = make_optimizer(model, recipe)
    model.train()
    started = time.perf_counter()
    for step in range(STEPS):
        batch = task.collate([data.example(row, 0) for row in range(step * 32, step * 32 + 32)])
        task.loss(task.outputs(model, batch)).value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return (time.perf_counter() - started) / STEPS


def engine(task, recipe) -> float:
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        hooks = Hooks(on_step=lambda row: seconds.append(row["seconds"]))
        train(task, recipe, Path(folder), World(), torch.device("cpu"), hooks=hooks)
    return sum(seconds) / STEPS


recipe = load_recipe("desk-colpali", {"train.steps": STEPS, "train.checkpoint_every": STEPS})
task = task_for(recipe)
bare(task, recipe)
pairs = [(engine(task, recipe), bare(task, recipe)) for _ in range(ROUNDS)]
print(
    json.dumps(
        [
            {
                "what": "desk-colpali, a step of 32 queries and pages",
                "ours": statistics.median(ours for ours, _ in pairs),
                "reference": statistics.median(plain for _, plain in pairs),
                "against": "a bare loop",
                "unit": "s",
            }
        ]
    )
)
