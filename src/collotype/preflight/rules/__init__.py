"""The rules, a module per subject; all modules here are imported.

A rule is a function from a context to what it sees there; what all of its findings share stands in its decoration:

    @rule("bf16 with BatchNorm", "will differ", "open_clip issue 184")
    def half_precision_in_batch_norm(context: CheckContext) -> Iterator[Evidence]:
        if context.plan.get("precision") == "bf16" and "batch_norm_group" in context.plan:
            yield Evidence(seen="precision bf16", reference="fp16", why="…", fix="--set train.precision=fp16")
"""

import importlib
import pkgutil
from dataclasses import asdict
from typing import Any

from collotype.preflight.context import CheckContext
from collotype.preflight.findings import SEVERITIES
from collotype.preflight.rules.rule import Rule


def discover() -> tuple[Rule, ...]:
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return tuple(value for module in modules for value in vars(module).values() if isinstance(value, Rule))


RULES = discover()


def find(context: CheckContext) -> list[dict[str, Any]]:
    """Every rule's findings on a case, as dicts, the gravest first; those of an imported command before those of the
    recipe made of it."""
    found = [finding for rule in RULES for finding in rule(context)]
    return [asdict(one) for one in sorted(found, key=lambda one: (SEVERITIES.index(one.severity), one.here))]
