"""Chooses the search plan by the number of vectors, and explains what was done."""

from dataclasses import dataclass, field
from typing import Literal

from collotype.runtime.errors import UserError

PlanName = Literal["exact", "bits", "lists"]
PLANS: tuple[PlanName, ...] = ("exact", "bits", "lists")
EXACT_VECTORS, EXACT_DIM = 300_000, 128
"""Up to here every vector is compared exactly: some 300 pages of 1,030, 50 ms of a core. Of wider vectors it is fewer,
by the square of the width: each costs more, and its sign bits tell more."""
SIGN_VECTORS = 8_000_000
"""Up to here all sign bits are scanned, some 8,000 pages, 70 ms; beyond, those of the pages the token lists name."""
RESCORED = 50
"""Pages whose exact score decides, after a scan."""


@dataclass(frozen=True)
class Plan:
    name: PlanName
    rescored: int = RESCORED


@dataclass(kw_only=True)
class Explanation:
    """What a search did."""

    plan: str
    why: str
    pages: int
    """In the index."""
    allowed: int
    """By the filter, and with vectors."""
    scanned: int = 0
    """Whose sign bits were compared."""
    rescored: int = 0
    """Whose exact score was taken."""
    newer: int = 0
    """Written after the side file was made."""
    table_version: int = 0
    signs_version: int | None = None
    lists_version: int | None = None
    milliseconds: dict[str, float] = field(default_factory=dict)


def choose(vectors: int, dim: int, k: int, have_lists: bool) -> tuple[Plan, str]:
    """The plan for so many vectors of `dim` numbers, and the reason in words."""
    rescored = max(RESCORED, 5 * k)
    if vectors <= exact_vectors(dim):
        return Plan("exact"), f"{vectors:,} vectors; up to {exact_vectors(dim):,} of {dim} numbers are compared exactly"
    if vectors <= SIGN_VECTORS:
        return Plan("bits", rescored), f"{vectors:,} vectors; up to {SIGN_VECTORS:,} are scanned by their sign bits"
    if have_lists:
        return Plan("lists", rescored), f"{vectors:,} vectors; beyond {SIGN_VECTORS:,} the token lists are read first"
    return Plan("bits", rescored), f"{vectors:,} vectors but no token lists yet (optimise the index to build them)"


def exact_vectors(dim: int) -> int:
    return int(EXACT_VECTORS * min(1, EXACT_DIM / dim) ** 2)


def named(plan: Plan | str, k: int) -> Plan:
    if isinstance(plan, Plan):
        return plan
    if plan not in PLANS:
        raise UserError(f"Unknown search plan {plan!r}; the plans are {', '.join(PLANS)}.")
    return Plan(plan, max(RESCORED, 5 * k))
