"""How a query is answered, by how much there is to look at; and what was done, for who asks."""

from dataclasses import dataclass, field
from typing import Literal

from collotype.runtime.errors import UserError

PlanName = Literal["exact", "bits", "lists"]
PLANS: tuple[PlanName, ...] = ("exact", "bits", "lists")
EXACT_VECTORS = 300_000
"""Up to here every vector is compared exactly: some 300 pages of 1,030, 50 ms of a core."""
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


def choose(vectors: int, k: int, have_lists: bool) -> tuple[Plan, str]:
    """The plan for so many vectors, and the reason in words."""
    rescored = max(RESCORED, 5 * k)
    if vectors <= EXACT_VECTORS:
        return Plan("exact"), f"{vectors:,} vectors, up to {EXACT_VECTORS:,} are compared exactly"
    if vectors <= SIGN_VECTORS:
        return Plan("bits", rescored), f"{vectors:,} vectors, up to {SIGN_VECTORS:,} are scanned by their sign bits"
    if have_lists:
        return Plan("lists", rescored), f"{vectors:,} vectors, beyond {SIGN_VECTORS:,} the token lists come first"
    return Plan("bits", rescored), f"{vectors:,} vectors and no token lists yet (optimise the index to have them)"


def named(plan: Plan | str, k: int) -> Plan:
    if isinstance(plan, Plan):
        return plan
    if plan not in PLANS:
        raise UserError(f"No search plan {plan!r}; the plans are {', '.join(PLANS)}.")
    return Plan(plan, max(RESCORED, 5 * k))
