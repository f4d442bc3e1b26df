"""The interface of a family to the command line and the runner: `SPEC` in its module `commands`."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from collotype.evaluation.results import Measured
from collotype.runtime.world import World
from collotype.training.task import Task


class EvaluateModel(Protocol):
    def __call__(
        self,
        model: str,
        choice: Any,
        world: World,
        cache: Path | None = None,
        batch_tokens: int | None = None,
        out: Path | None = None,
        **options: Any,
    ) -> list[Measured]:
        """
        Args:
            choice: of the family's own kind.
            cache: a folder that keeps what may be used again; None keeps nothing.
            batch_tokens: tokens of a forward pass, padding included; None takes the default.
            out: a folder for files that an evaluation makes beside its numbers.
            options: as of the family's `load`.
        """


@dataclass(frozen=True, kw_only=True)
class FamilySpec:
    """
    Args:
        task: the engine's seam, of a recipe of the family.
        load: the model in a folder, a file or a repository of the hub; its other parameters are the options that
            `collotype.load` takes for this family.
        export: a model (source, layout, new folder, options of `load`) in another library's layout; returns what was
            verified, in sentences.
        can_load: is this a model of the family in a layout of other libraries? No weights are read.
        stability: what a model's scores depend on beside its weights (model, choice, limit, options of `load`).
        signs: one of these files is in any folder of other libraries that holds such a model.
        models, suites, layouts, presets: the names that `collotype list` shows.
    """

    task: Callable[[Any], Task[Any, Any]]
    load: Callable[..., Any]
    export: Callable[..., list[str]]
    evaluate: EvaluateModel
    can_load: Callable[[str], bool]
    signs: Collection[str]
    default_suite: str
    stability: Callable[..., dict[str, Any]] | None = None
    models: Collection[str] = ()
    suites: Collection[str] = ()
    layouts: Collection[str] = ()
    presets: Collection[str] = ()
