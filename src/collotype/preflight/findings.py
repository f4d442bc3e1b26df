"""Findings: what makes a run's number differ from the published one."""

from dataclasses import dataclass
from typing import Literal, get_args

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
