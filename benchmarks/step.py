"""A step of desk-colpali: ours through the engine, beside the same model, data and optimiser in a bare step.

The bare step does what a step cannot do without: make the batch, forward, loss, backward, clip, optimiser. The
difference is what the engine costs. After every step of the engine comes a bare one; medians over all of them.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from collotype.families import task_for
from collotype.recipe import Recipe, load_recipe
from collotype.runtime.world import World
from collotype.training.engine import Hooks
from collotype.training.loop import train
from collotype.training.optim import make_optimizer
from collotype.training.task import Task

STEPS, WARM_UP = 220, 20


def bare_steps(task: Task, recipe: Recipe) -> Iterator[float]:
    model, data, batch = task.build(), task.datasets()[0], recipe.train.batch
    optimizer = make_optimizer(model, recipe)
    model.train()
    for step in range(STEPS):
        started = time.perf_counter()
        rows = range(step * batch, (step + 1) * batch)
        task.loss(task.outputs(model, task.collate([data.example(row, 0) for row in rows]))).value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.train.clip_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield time.perf_counter() - started


def engine_steps(task: Task, recipe: Recipe, after: Callable[[], None]) -> list[float]:
    seconds: list[float] = []

    def on_step(row: dict) -> None:
        seconds.append(row["seconds"])
        after()

    with tempfile.TemporaryDirectory() as folder:
        train(task, recipe, Path(folder), World(), torch.device("cpu"), hooks=Hooks(on_step=on_step))
    return seconds


if __name__ == "__main__":
    recipe = load_recipe("desk-colpali", {"train.steps": STEPS, "train.checkpoint_every": STEPS})
    task = task_for(recipe)
    bare, found = bare_steps(task, recipe), []
    ours = engine_steps(task, recipe, lambda: found.append(next(bare)))
    row = {
        "what": "desk-colpali, a step of 32 queries and pages",
        "ours": statistics.median(ours[WARM_UP:]),
        "reference": statistics.median(found[WARM_UP:]),
        "against": "a bare loop",
        "unit": "s",
    }
    print(json.dumps([row]))
