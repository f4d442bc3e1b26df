"""The plan: a recipe's numbers resolved for the hardware at hand. No weights are touched."""

from typing import Any

from collotype.recipe import Recipe
from collotype.runtime.errors import UserError

Plan = dict[str, Any]


def make_plan(recipe: Recipe, processes: int, device: str, model: dict[str, Any], negatives_per_query: int) -> Plan:
    """Everything a run will do.

    Args:
        model: the task's own facts (`parameters`, `trainable_parameters`, …).

    Raises:
        UserError: the batch cannot be cut for these processes and micro-batches; an expectation names no dataset that
            is evaluated; the run sees less than one example.
    """
    train = recipe.train
    share = divide("train.batch", train.batch, "processes", processes)
    micro_batch = train.micro_batch or share
    divide("the batch of one process", share, "train.micro_batch", micro_batch)
    suites = {evaluation.suite for evaluation in recipe.evaluate}
    for expected in recipe.expect:
        suite = expected.dataset.partition("/")[0]
        if suite not in suites:
            known = ", ".join(sorted(suites)) or "nothing"
            raise UserError(
                f"The recipe expects a value of {expected.dataset}, but evaluates {known}; add {{suite: {suite}}} to "
                "`evaluate` or drop the expectation."
            )
    return {
        "batch": train.batch,
        "micro_batch": micro_batch,
        "micro_batches_per_process": share // micro_batch,
        "processes": processes,
        "negatives_per_query": negatives_per_query,
        "steps": train.steps,
        "warmup_steps": recipe.warmup_steps,
        "epochs": round(train.steps * train.batch / recipe.data.train.queries, 4),
        "warmup_epochs": round(recipe.warmup_steps * train.batch / recipe.data.train.queries, 4),
        "precision": train.precision,
        "device": device,
        **model,
    }


def divide(name: str, number: int, by_name: str, by: int) -> int:
    if number % by:
        lower, higher = number - number % by, number - number % by + by
        near = f"{lower} or {higher}" if lower else f"{higher}"
        raise UserError(f"{name} is {number}, which {by_name} = {by} does not divide; the nearest that fit are {near}.")
    return number // by
