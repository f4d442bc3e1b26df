"""What makes a run's number differ from the published one, found before the run."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from collotype.preflight.context import CheckContext

Severity = Literal["blocks", "will differ", "may differ", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The gravest first."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that makes a difference."""

    severity: Severity
    name: str
    seen: str
    reference: str
    why: str
    effect: str = ""
    """How large the difference is, where a source or a study of ours measured it; empty if nobody did."""
    fix: str
    """As a `--set`, where one does it."""
    source: str
    here: bool = True
    """False: of the command or config that was imported; the recipe made of it does not do that."""


def find(context: CheckContext) -> list[dict[str, Any]]:
    """Every rule's findings on a case, as dicts, the gravest first; those of an imported command before those of the
    recipe made of it."""
    from collotype.preflight.rules import RULES

    found = [finding for rule in RULES for finding in rule(context)]
    return [asdict(one) for one in sorted(found, key=lambda one: (SEVERITIES.index(one.severity), one.here))]
