"""What can be done with a model of any family: load, evaluate, export."""

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
    """The family of the model in a folder, a file or a hub repository: retriever, unless its files say otherwise."""
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
    """The loading options that are given.

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
    """Loads the model in a folder or hub repository, ready to use on the CPU.

    Args:
        source: a folder written by Collotype or in another library's layout, or a hub name.
        options: what the folder does not say and the model's family needs; for a retriever `preset` and `base`.
            `dtype` is the type of weights and computation: fp32 (the default), bf16, fp16, or auto, which keeps the
            file's half precision if this machine's GPU, or else its CPU, supports it, and is fp32 otherwise.

    Returns:
        The family's model: a retriever has `encode_queries`, `encode_pages` and `score`; a CLIP has `encode_images` and
        `encode_texts`; a BEiT-3 has `answers`.

    Raises:
        UserError: there is no model, its family is unknown, or weights are missing or unexpected.

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
    """Evaluates models on a suite; the processes of a launcher share the work.

    Args:
        choice: the suite, of the models' family.
        cache: a folder for cached embeddings; None: no cache.
        batch_tokens: tokens per forward pass, including padding; None: the default.
        out: a folder for other output and for intermediate results; each of several models has its own folder below it.
        precision: of the models' matrix products, as in a recipe's `train.precision`; scores are always float32.
        options: as in `load`, for all models.

    Returns:
        The results by model name; the same on every process.

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
