"""What a line does for the commands."""

from pathlib import Path
from typing import Any

from collotype.evaluation.results import Measured
from collotype.families.shared.spec import FamilySpec
from collotype.recipe.evaluate import Evaluate
from collotype.runtime.errors import UserError
from collotype.runtime.world import World
from tests.families.toy_family import facts, task
from tests.families.toy_family.model import load


def export(source: str | Path, layout: str, out: Path, **options: Any) -> list[str]:
    raise UserError(f"Unknown layout {layout!r}; a line has none.")


def evaluate(
    model: str,
    choice: Evaluate,
    world: World,
    cache: Path | None = None,
    batch_tokens: int | None = None,
    out: Path | None = None,
    **options: Any,
) -> list[Measured]:
    return task.evaluate(load(model), choice)


SPEC = FamilySpec(
    task=task.LineTask,
    load=load,
    export=export,
    evaluate=evaluate,
    can_load=lambda source: False,
    signs=(),
    default_suite="origin",
    models=["slope"],
    suites=facts.SUITES,
)
