"""The plan: a recipe's numbers resolved for the hardware at hand. No weights are touched."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, cast

from collotype.preflight.estimate import disk_mib, memory_mib, step_seconds
from collotype.recipe import Recipe
from collotype.recipe.expect import Expect
from collotype.report.plan import Hardware, Plan
from collotype.runtime.errors import UserError
from collotype.training.schedule import learning_rate
from collotype.training.settings import require_whole_groups


class UnknownKeyError(LookupError):
    """A key that nothing can have: our mistake, not a fact that is missing (of which a KeyError tells)."""


class PlanFacts(Mapping[str, Any]):
    """A plan to read: asked for a key that no plan has, it raises instead of giving None."""

    def __init__(self, plan: Mapping[str, Any]):
        self._plan = plan

    def __getitem__(self, key: str) -> Any:
        if key not in Plan.__annotations__ and key not in self._plan:
            raise UnknownKeyError(f"no plan has a key {key!r}; report/plan.py lists them")
        return self._plan[key]

    def __contains__(self, key: object) -> bool:
        return key in self._plan

    def __iter__(self) -> Iterator[str]:
        return iter(self._plan)

    def __len__(self) -> int:
        return len(self._plan)


CURVE_POINTS = 65
"""Of the learning rate, beside those where it bends."""


def make_plan(
    recipe: Recipe,
    processes: int,
    device: str,
    precision: str | None,
    hardware: Hardware,
    model: dict[str, Any],
    negatives_per_query: int,
    examples: int | None,
    datasets: Collection[str] | None,
    metrics: Collection[str],
    faults: Mapping[str, int] = MappingProxyType({}),
) -> Plan:
    """Everything a run will do. What cannot be known is missing.

    Args:
        precision: none: the device has not what the recipe asks for.
        hardware: what the device can do.
        model: the task's own facts (`parameters`, `trainable_parameters`, …).
        examples: there are to train on; none: nobody knows.
        faults: how many examples are left out or doubtful, by cause.
        datasets: what the recipe's suites measure ("SUITE/DATASET"); none: not all of it is known.
        metrics: by which numbers.

    Raises:
        UserError: the batch cannot be cut for these processes and micro-batches or is larger than the data; an
            expectation names a dataset or metric that is not measured.
    """
    train = recipe.train
    micro_batch = micro_batch_of(recipe, processes, examples, model.get("batch_norm_group"))
    require_measured(recipe, datasets, metrics)
    plan: Plan = {
        "batch": train.batch,
        "micro_batch": f"{train.micro_batch_tokens} tokens" if train.micro_batch_tokens else micro_batch,
        "processes": processes,
        "negatives_per_query": negatives_per_query,
        "steps": train.steps,
        "warmup_steps": recipe.warmup_steps,
        **({} if examples is None else epochs_of(recipe, examples)),
        **({"faults_of_data": ", ".join(f"{count:,} {cause}" for cause, count in faults.items())} if faults else {}),
        "learning_rate": curve(recipe),
        **({"precision": precision} if precision else {}),
        "shard": train.shard if processes > 1 else "none",
        "device": device,
        "hardware": hardware,
        **cast(Plan, model),
    }
    return {**plan, "estimate": estimate(recipe, plan)} if "parameters" in model else plan


def micro_batch_of(
    recipe: Recipe, processes: int, examples: int | None, batch_norm_group: int | None
) -> int | Literal["auto"]:
    """
    Raises:
        UserError: the batch is larger than the data, or cannot be cut for these processes and BatchNorm's groups.
    """
    train = recipe.train
    share, micro_batch = cut(recipe, processes)
    if examples is not None and examples < train.batch:
        raise UserError(
            f"data.train has too few examples ({examples:,}) for a batch of {train.batch:,}; lower train.batch."
        )
    if group := batch_norm_group:
        if train.micro_batch_tokens:
            raise UserError(
                f"train.micro_batch_tokens is {train.micro_batch_tokens}, but the model has BatchNorm over groups of "
                f"{group} examples; set train.micro_batch instead, which counts examples."
            )
        if group == train.batch and micro_batch == "auto":
            micro_batch = share
        require_whole_groups(group, train.batch, share, group if micro_batch == "auto" else micro_batch)
    return micro_batch


def require_measured(recipe: Recipe, datasets: Collection[str] | None, metrics: Collection[str]) -> None:
    """
    Raises:
        UserError: an expectation names a dataset or metric that is not measured.
    """
    for expected in (one for one in recipe.expect if isinstance(one, Expect) and one.measured_by is None):
        if datasets is not None:
            require("dataset", expected.dataset, datasets)
        require("metric", expected.metric, metrics)


def estimate(recipe: Recipe, plan: Plan) -> dict[str, Any]:
    """Memory and disk in MiB, and seconds of a step, of which `check --measure` knows more."""
    seconds = step_seconds(recipe, plan)
    return {
        "memory_mib": memory_mib(recipe, plan, plan.get("precision"), plan["processes"]),
        "disk_mib": disk_mib(recipe, plan, plan.get("precision")),
        **({} if seconds is None else {"step_s": float(f"{seconds:.2g}"), "from": "arithmetic"}),
    }


def epochs_of(recipe: Recipe, examples: int) -> Plan:
    steps_per_epoch = examples // recipe.train.batch
    return {
        "examples": examples,
        "epochs": round(recipe.train.steps / steps_per_epoch, 4),
        "warmup_epochs": round(recipe.warmup_steps / steps_per_epoch, 4),
        "examples_left_out_per_epoch": examples % recipe.train.batch,
    }


def curve(recipe: Recipe) -> list[tuple[int, float]]:
    """(step, learning rate) at the bends of the schedule and evenly in between."""
    last = recipe.train.steps
    even = {1 + round(place * (last - 1) / (CURVE_POINTS - 1)) for place in range(CURVE_POINTS)}
    bends = {min(last, step) for step in (recipe.warmup_steps, recipe.warmup_steps + 1) if step > 0}
    return [(step, learning_rate(recipe, step)) for step in sorted(even | bends)]


def require(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UserError(
            f"The recipe expects the {kind} {name!r}, which is not measured{hint}; measured are "
            f"{', '.join(known) or 'none'}."
        )


def cut(recipe: Recipe, processes: int) -> tuple[int, int | Literal["auto"]]:
    """A process's share of the batch, and its micro-batch.

    Raises:
        UserError: they do not divide each other.
    """
    share = divide("train.batch", recipe.train.batch, "processes", processes)
    micro_batch = recipe.train.micro_batch or share
    if micro_batch != "auto":
        divide("the batch of one process", share, "train.micro_batch", micro_batch)
    return share, micro_batch


def divide(name: str, number: int, by_name: str, by: int) -> int:
    """number / by, if that is whole; else an error that names the divisors on either side."""
    if number % by:
        divisors = [divisor for divisor in range(1, number + 1) if number % divisor == 0]
        nearest = [max(d for d in divisors if d < by), *[d for d in divisors if d > by][:1]]
        raise UserError(
            f"{name} is {number}, which cannot be divided by {by_name} = {by}; the nearest values that work are "
            f"{' and '.join(map(str, nearest))}."
        )
    return number // by
