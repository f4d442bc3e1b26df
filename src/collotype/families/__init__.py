"""The model families behind one door: what is done with a model, whichever family it is of."""

import inspect
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collotype import registry
from collotype.registry import FAMILIES
from collotype.runtime.errors import UserError

if TYPE_CHECKING:  # a recipe of a family is read without torch
    from collotype.evaluation.results import Measured
    from collotype.families.shared.spec import FamilySpec
    from collotype.recipe import Recipe
    from collotype.recipe.evaluate import Evaluate
    from collotype.training.facts import RecipeFacts
    from collotype.training.task import Task


def family(name: str) -> "FamilySpec":
    found: FamilySpec = registry.spec(name, "commands")
    return found


def facts_for(recipe: "Recipe") -> "RecipeFacts[Any]":
    """What the family says of a recipe before anything is computed; asked without torch."""
    found: RecipeFacts[Any] = registry.spec(recipe.family, "facts")(recipe)
    return found


def task_for(recipe: "Recipe") -> "Task[Any, Any]":
    """The family's task for a recipe."""
    return family(recipe.family).task(recipe)


def family_of(source: str | Path) -> str:
    """Of the model in a folder, a file or a repository of the hub: the retriever's, if nothing says another."""
    from collotype.runtime.hub import locate
    from collotype.runtime.model_folder import DESCRIPTION, require_there

    require_there(source)
    place = locate(source, (DESCRIPTION,), ("the files",)) if not Path(source).is_file() else None
    try:
        said = json.loads((place.folder / DESCRIPTION).read_text()).get("family") if place else None
    except (OSError, ValueError, AttributeError):
        said = None
    if isinstance(said, str) and said in FAMILIES:
        return said

    def can_load(name: str) -> bool:
        if place and place.found:
            return any(place.has(sign) for sign in family(name).signs)
        return family(name).can_load(str(source))

    # the newest first: the signs of the older ones are more general
    return next(filter(can_load, reversed(FAMILIES)), "retriever")


def options_for(source: str | Path, options: dict[str, Any]) -> dict[str, Any]:
    """Those options of loading that are given.

    Raises:
        UserError: one that the model's family does not have.
    """
    name = family_of(source)
    given = {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key not in inspect.signature(family(name).load).parameters:
            raise UserError(f"The option {key} is not supported by {name} models, and {source} is one; leave it out.")
    return given


def load(source: str | Path, **options: Any) -> Any:
    """The model in a folder, or in a repository of the hub, ready to use, on the CPU.

    Args:
        source: our own folder, or one in a layout of other libraries.
        options: what the model's family wants to know where the folder does not say; of a retriever `preset` and
            `base`. `dtype` is the type of the weights and of what is computed: fp32 (also without it), bf16, fp16, or
            auto, which keeps half precision as it lies in the file where this machine's GPU, or else its CPU, has units
            for it, and is fp32 elsewhere.

    Returns:
        the family's model: a retriever has `encode_queries`, `encode_pages` and `score`; a CLIP `encode_images` and
        `encode_texts`; a BEiT-3 `answers`.

    Raises:
        UserError: there is none, it is of no family that is known, weights are missing or left over.

    Examples:
        A trained page retriever; each query and page becomes one float32 tensor [num_vectors, dim]:

        >>> import collotype
        >>> from PIL import Image
        >>> model = collotype.load("runs/desk-colpali/model")
        >>> queries = model.encode_queries(["red apple and bicycle", "bicycle and red apple"])
        >>> pages = model.encode_pages([Image.new("RGB", (96, 96), colour) for colour in ("white", "red", "blue")])
        >>> len(queries), queries[0].shape[1], len(pages)
        (2, 128, 3)
        >>> model.score(queries, pages).shape  # [num_queries, num_pages]
        torch.Size([2, 3])
    """
    from collotype.runtime.hub import commits

    with commits():
        return family(family_of(source)).load(source, **options_for(source, options))


def export(source: str | Path, layout: str, out: str | Path, **options: Any) -> list[str]:
    """Writes the model in `source` in another library's layout into the new folder `out`.

    Returns:
        what was verified of it, in sentences.

    Args:
        layout: `known("layouts")` has the names.
        options: as of `load`.

    Raises:
        UserError: no such model or layout, a layout that cannot express the model, or `out` is there.
    """
    from collotype.runtime.hub import commits

    if Path(out).exists():
        raise UserError(f"{out} already exists; choose another folder with --out.")
    with commits():
        return family(family_of(source)).export(source, layout, Path(out), **options_for(source, options))


def evaluate(
    models: Sequence[str | Path],
    choice: "Evaluate",
    cache: Path | None = None,
    batch_tokens: int | None = None,
    out: Path | None = None,
    precision: str = "fp32",
    **options: Any,
) -> "dict[str, list[Measured]]":
    """The models in these folders, measured on a suite; a launcher's processes share the work.

    Args:
        choice: of the models' family.
        cache: a folder that keeps what may be used again; None keeps nothing.
        batch_tokens: tokens of a forward pass, padding included; None takes the default.
        out: a folder for what an evaluation makes beside its numbers, and for what it keeps until it is done; below it
            one for each model, if there are several.
        precision: of the models' matrix products, as of a recipe's `train.precision`; scores are float32 in any.
        options: as of `load`, for all of the models.

    Returns:
        by model as it was named; the same on every process.

    Raises:
        UserError: no such model or suite.
    """
    from collotype.runtime.device import pick_device
    from collotype.runtime.hub import commits
    from collotype.runtime.process import process_group
    from collotype.runtime.world import World
    from collotype.training.precision import resolve_precision

    world = World.from_environment()
    device = pick_device(world)
    computed = resolve_precision(precision, device)
    with process_group(world, device), computed.context(device):
        found: dict[str, list[Measured]] = {}
        for model in map(str, models):
            with commits() as used:
                found[model] = family(family_of(model)).evaluate(
                    model, choice, world, cache, batch_tokens, out_of(out, model, models), **options_for(model, options)
                )
            for one in found[model]:
                one.facts["hub"] = used
    for one in chain.from_iterable(found.values()):
        if "timing" in one.facts:
            one.facts["precision"] = computed.name
    return found


def stability(
    models: Sequence[str | Path], choice: "Evaluate", limit: int | None = None, **options: Any
) -> dict[str, dict[str, Any]]:
    """What batch, padding, precision and attention kernel change in the models' scores, by model as it was named.

    Args:
        limit: how many of the pages of the suite's first dataset are taken; None: a few dozen.
        options: as of `load`.

    Raises:
        UserError: no such model or suite, or a model of a family of which this is not measured.
    """
    found = {}
    for model in map(str, models):
        measure = family(name := family_of(model)).stability
        if measure is None:
            raise UserError(f"--stability works with retrievers only, but {model} is a {name} model; leave it out.")
        found[model] = measure(model, choice, limit, **options_for(model, options))
    return found


def out_of(out: Path | None, model: str, models: Sequence[str | Path]) -> Path | None:
    """Where the files of this one of several models go."""
    return out if out is None or len(models) == 1 else out / model.strip("./").replace("/", "__")


def known(kind: str) -> list[str]:
    """The names of the models, presets, suites or layouts that the families offer."""
    return [name for one in FAMILIES for name in getattr(family(one), kind)]
