"""The result of an import."""

from dataclasses import dataclass, field
from typing import Any

from collotype.importers.upstream import Upstream


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What the other tool would have done where a recipe has nothing to say, because here it cannot go wrong."""

    tool: str
    """colpali-engine, open_clip, beit3, slip or transformers; vidore-benchmark, mteb or lmms-eval."""
    launcher: str = "python"
    processes: int = 1
    settings: Upstream = field(default_factory=Upstream)
    """In this project's words."""
    assumed: tuple[str, ...] = ()
    """What the text does not tell, or what changes the result and has no counterpart, and what was taken instead: a
    sentence each, said before everything else."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A setting without counterpart, and why."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A recipe's values, what the other tool would have done beside them, and what could not be carried over."""

    values: dict[str, Any]
    origin: Origin
    left_out: tuple[LeftOut, ...]
    carried: dict[str, str] = field(default_factory=dict)
    """By the other tool's name of a setting: the recipe's key that it became, or `origin.KEY`."""
