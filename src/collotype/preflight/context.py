"""What a rule looks at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collotype.importers import Origin
from collotype.importers.upstream import SETTINGS
from collotype.preflight.plan import PlanFacts, UnknownKeyError
from collotype.recipe import Recipe
from collotype.report.published import Published


@dataclass(frozen=True, kw_only=True)
class CheckContext:
    """A recipe on its way to becoming a run."""

    recipe: Recipe
    plan: Mapping[str, Any]
    """`make_plan`'s, as `PlanFacts`; what cannot be known here (data or weights that are not there) is missing."""
    reference: Published | None = None
    """What the recipe expects to reproduce."""
    origin: Origin | None = None
    """Where the recipe was imported from."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "plan", PlanFacts(self.plan))

    def upstream(self, setting: str) -> Any:
        """What the imported command would have done (`importers/upstream.py`); None if there is none, or it does not
        say."""
        if setting not in SETTINGS:
            raise UnknownKeyError(f"no tool has a setting {setting!r}; importers/upstream.py lists them")
        return self.origin.settings.get(setting) if self.origin else None

    def was(self, tool: str) -> bool:
        """Is the recipe imported from that tool?"""
        return self.origin is not None and self.origin.tool == tool

    def of_reference(self, key: str) -> Any:
        """A circumstance of what is to be reproduced; none if nobody says."""
        return self.reference.circumstances.get(key) if self.reference else None

    @property
    def explicit_negatives(self) -> int:
        """Of a query, at most."""
        return max((getattr(source, "negatives", 0) for source in self.recipe.data.train), default=0)

    @property
    def on_old_card(self) -> bool:
        """Is the device a GPU before compute capability 8.0, without bf16 and FlashAttention 2?"""
        return self.plan["hardware"]["kind"] == "cuda" and self.plan["hardware"]["capability"] < [8, 0]
