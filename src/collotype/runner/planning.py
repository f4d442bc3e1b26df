"""Resolves a recipe, plans it for this hardware, and compares it with published runs; writes nothing."""

import functools
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from collotype.families import facts_for
from collotype.importers import Origin
from collotype.preflight.context import CheckContext
from collotype.preflight.hardware import at_hand, named, with_rate
from collotype.preflight.plan import make_plan
from collotype.preflight.published_data import beside_published, published_examples
from collotype.preflight.reference import nearest, reference_of
from collotype.preflight.rules import find
from collotype.recipe import Recipe, load_recipe
from collotype.report.plan import Hardware, Plan
from collotype.report.published import Published
from collotype.report.published.expectations import with_numbers
from collotype.runtime.dry_run import dry
from collotype.runtime.errors import UserError
from collotype.runtime.hub import Need, NotFetchedError, commits
from collotype.runtime.hub.needs import HubFacts, require_room_for
from collotype.runtime.hub.needs import facts_of as fetch_facts
from collotype.runtime.world import World
from collotype.training.facts import RecipeFacts, overlaps
from collotype.training.settings import EMA, named_precision

T = TypeVar("T")

OF_TRAINING = "data.train.examples"
"""Among a published run's circumstances."""


def plan_of(
    recipe: Recipe,
    task: RecipeFacts[Any],
    world: World,
    device: tuple[str, Hardware],
    precision: str | None,
    model: dict[str, Any],
    data: dict[str, Any],
    examples: int | None,
    datasets: Collection[str] | None,
) -> Plan:
    endings = ("",) if recipe.train.ema_decay is None else ("", f"@{EMA}")
    versions = (
        None if datasets is None else [f"{name}{ending}" for ending in endings for name in datasets if name != "train"]
    )
    plan = make_plan(
        recipe,
        processes=world.size,
        device=device[0],
        precision=precision,
        hardware=with_rate(device[1], precision),
        model=model,
        negatives_per_query=task.negatives_per_query(),
        examples=examples,
        datasets=versions,
        metrics=task.metrics(),
        faults=data.get("train", {}).get("faults", {}),
    )
    return {**plan, "data": beside_published(data, recipe.data.train)}


def with_findings(recipe: Recipe, plan: Plan, reference: Published | None, origin: Origin | None = None) -> Plan:
    case = CheckContext(recipe=recipe, plan=plan, reference=reference, origin=origin)
    return {**plan, **({"reference": reference.name} if reference else {}), "findings": find(case)}


def check(
    recipe: str | Path | Recipe,
    overrides: Mapping[str, Any] | None = None,
    smoke: bool = False,
    origin: Origin | None = None,
    against: str | None = None,
    card: str | None = None,
    measure: bool = False,
    online: bool = False,
) -> tuple[Recipe, Plan]:
    """The resolved recipe and its plan. Nothing is trained or written, nothing is downloaded, and no weights are read.

    Values that need data or weights that are not on this machine are missing in the plan. Its `unknown` lists them with
    the reason, and each is a finding.

    Args:
        origin: what the recipe was imported from.
        against: the published result to compare with; None: the one that the recipe expects, or the nearest one of an
            imported recipe.
        card: plan for this GPU (V100, T4, A100-40GB, …) instead of this machine's device.
        measure: run one micro-batch to measure time and memory; this reads data and weights.
        online: ask the hub what a run will download and whether access is granted; this downloads small files.

    Raises:
        UserError: the recipe is impossible on any machine; no such GPU or published result.
    """
    recipe, world = resolve(recipe, overrides, smoke), World.from_environment()
    settings = origin.settings if origin else {}
    where = named(card or settings["device"]) if card or "device" in settings else at_hand(world)
    bf16 = where[1].get("capability", [0]) >= [8, 0]
    precision = named_precision(recipe.train.precision, where[1]["kind"], bf16)
    evaluates_only, reference = settings.get("evaluates_only", False), reference_of(recipe, against)
    task, known = facts_for(recipe), PartialFacts()
    model, data, shared = without_weights(task, recipe, settings, known)
    fetch = from_hub(recipe, evaluates_only, known) if online and "unknown_model" not in settings else None
    whole = not known.unknown and not evaluates_only
    published = published_examples(recipe.data.train)
    published = published or (reference.circumstances.get(OF_TRAINING) if reference else None)
    examples: int | None = data.get("train", {}).get("examples") or settings.get("examples") or published
    plan = plan_of(recipe, task, world, where, precision, model, data, examples, data if whole else None)
    plan |= {
        "folder": folder_facts(Path("runs") / recipe.name),
        "unknown": known.unknown,
        "fetched": sorted(known.fetched),
        **({"fetch": fetch} if fetch else {}),
        **({"overlap": shared} if shared else {}),
    }
    if examples and "train" not in data:
        plan["assumed"] = {"examples": "as published" if examples == published else source_of_examples(origin)}
    if measure and whole and not card:
        measured = measured_step(recipe, world)
        plan |= {"micro_batch": measured.pop("micro_batch"), "estimate": {**plan["estimate"], **measured}}
    if origin and not reference and not evaluates_only:
        reference = nearest(recipe, plan)
    if evaluates_only:
        # of a model that is published its name is enough to say how it was evaluated
        known.unknown.pop("model", None)
    return recipe, with_findings(recipe, plan, reference, origin)


def without_weights(
    task: RecipeFacts[Any], recipe: Recipe, settings: Mapping[str, Any], known: "PartialFacts"
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Facts of the model, facts of the data by dataset, and the overlap of training and evaluation data.

    Args:
        settings: what an imported command says of itself.
        known: learns what is not known, and why.
    """
    evaluates_only = settings.get("evaluates_only", False)
    with dry(), commits():
        if "unknown_model" not in settings:
            known.ask("weights", task.require_weights)
        if "weights" in known.unknown:
            known.ask("model", functools.partial(task.use_published_config, settings.get("size")))
        nameless = "model" in known.unknown or "unknown_model" in settings
        model = task.framing() if nameless else known.ask("model", task.describe) or {}
        train = {} if evaluates_only else known.ask("data.train", task.train_facts) or {}
        data = {"train": train} if train else {}
        for number, choice in enumerate(() if evaluates_only else recipe.evaluate):
            data |= known.ask(f"evaluate.{number}", functools.partial(task.facts_of, choice)) or {}
        here = [one for number, one in enumerate(recipe.evaluate) if f"evaluate.{number}" not in known.unknown]
        return model, data, overlaps(task, here) if train else {}


def from_hub(recipe: Recipe, evaluates_only: bool, known: "PartialFacts") -> HubFacts:
    with commits():
        needs = facts_for(recipe).needs()
        return asked_of_hub({name: needs[name] for name in needs if name == "weights" or not evaluates_only}, known)


def source_of_examples(origin: Origin | None) -> str:
    guessed = origin and any(sentence.startswith("examples") for sentence in origin.assumed)
    return "assumed" if guessed else "as the command says"


def measured_step(recipe: Recipe, world: World) -> dict[str, Any]:
    from collotype.families import task_for
    from collotype.runtime.device import pick_device
    from collotype.training.profiling import measure_step

    return measure_step(task_for(recipe), recipe, world, pick_device(world))


class PartialFacts:
    """Facts that can be known on this machine, and the reasons why others cannot."""

    def __init__(self) -> None:
        self.unknown: dict[str, str] = {}
        self.fetched: set[str] = set()
        """Those of them that a run fetches by itself."""

    def ask(self, name: str, fact: Callable[[], T]) -> T | None:
        try:
            return fact()
        except UserError as error:
            if name.startswith("data.") and self.unknown.get("model") == str(error):
                # a shape that follows from the data is unknown for the data's reason
                del self.unknown["model"]
            # data that waits for weights has no cause of its own
            if str(error) not in self.unknown.values():
                self.unknown[name] = str(error)
                self.fetched = self.fetched - {name} | ({name} if isinstance(error, NotFetchedError) else set())
            return None


def granted(needs_of: Callable[[], list[Need]]) -> list[Need]:
    """
    Raises:
        UserError: the hub would not give them.
    """
    needs = needs_of()
    for need in needs:
        need.require_access()
    return needs


def asked_of_hub(wanted: Mapping[str, Callable[[], list[Need]]], known: PartialFacts) -> HubFacts:
    """What a run will download; what the hub refuses is added to the unknown facts."""
    parts = [known.ask(name, functools.partial(granted, needs_of)) or [] for name, needs_of in wanted.items()]
    needs = [need for part in parts for need in part]
    known.ask("room", functools.partial(require_room_for, needs))
    return fetch_facts(needs)


def folder_facts(folder: Path) -> dict[str, Any]:
    """What the run's folder contains, and how much disk space is free."""
    is_run = (folder / "recipe.yaml").is_file()
    holds = "a finished run" if (folder / "record.json").is_file() else "a run that has not ended"
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free // 2**20
    return {"path": str(folder), "free_mib": free, **({"holds": holds} if is_run else {})}


def resolve(recipe: str | Path | Recipe, overrides: Mapping[str, Any] | None, smoke: bool = False) -> Recipe:
    """The recipe with overrides, and with the numbers of the published results that it names."""
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides, smoke)
    elif overrides or smoke:
        raise UserError("Overrides work on a recipe's name or file only; change a Recipe object with its model_copy().")
    return with_numbers(recipe)
