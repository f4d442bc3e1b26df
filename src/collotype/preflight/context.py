"""The input of a rule."""

from dataclasses import dataclass
from typing import Any

from collotype.importers import Origin
from collotype.importers.upstream import Upstream
from collotype.preflight.plan import PlanFacts
from collotype.recipe import Recipe
from collotype.report.plan import Plan
from collotype.report.published import Published


@dataclass(frozen=True, kw_only=True)
class CheckContext:
    """A recipe on its way to becoming a run."""

    recipe: Recipe
    plan: Plan
    """`make_plan`'s, to read only; what cannot be known here (data or weights that are not there) is missing."""
    reference: Published | None = None
    """What the recipe expects to reproduce."""
    origin: Origin | None = None
    """Where the recipe was imported from."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "plan", PlanFacts(self.plan))

    @property
    def upstream(self) -> Upstream:
        """What the imported command would have done, as far as it says; empty if there is none."""
        return self.origin.settings if self.origin else {}

    def was(self, tool: str) -> bool:
        """Is the recipe imported from that tool?"""
        return self.origin is not None and self.origin.tool == tool

    def of_reference(self, key: str) -> Any:
        """A circumstance of what is to be reproduced; none if nobody says."""
        return self.reference.circumstances.get(key) if self.reference else None

    @property
    def imported(self) -> Origin:
        """The command that an `upstream_rule` is asked of; there is none elsewhere."""
        assert self.origin
        return self.origin

    @property
    def explicit_negatives(self) -> int:
        """Of a query, at most."""
        return max((getattr(source, "negatives", 0) for source in self.recipe.data.train), default=0)

    @property
    def on_old_card(self) -> bool:
        """Is the device a GPU before compute capability 8.0, without bf16 and FlashAttention 2?"""
        hardware = self.plan["hardware"]
        return bool(hardware["kind"] == "cuda" and hardware["capability"] < [8, 0])
