"""The base class of the families' tasks."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Generic, TypeVar

from torch import nn

from collotype.families.shared.facts import FamilyFacts, R
from collotype.runtime.seeds import seed_torch
from collotype.runtime.shards.samples import Fault

M = TypeVar("M", bound=nn.Module)


class FamilyTask(FamilyFacts[R], Generic[R, M]):
    """A base for a family's task; what it gives can be overridden."""

    undecayed: Collection[str] = ()

    def seed_init(self, part: str) -> None:
        """Torch's random numbers for that part of the initial weights: a function of the recipe alone."""
        seed_torch(self.init_seed, part)

    def after_step(self, model: M) -> None:
        """Nothing beside the optimiser."""

    def extra_digests(self) -> dict[str, str]:
        return {}


def fault_events(sources: Sequence[Sequence[Fault]], kind: Callable[[Fault], str]) -> list[dict[str, Any]]:
    """The record's events of training data that was known to be unusable or doubtful before training.

    Args:
        sources: the faults of each.
        kind: what an event of a fault is called.
    """
    return [
        {
            "kind": kind(fault),
            "source": number,
            "cause": fault.cause,
            "place": fault.place,
            "count": fault.count,
            **({"first": fault.first} if fault.first else {}),
        }
        for number, faults in enumerate(sources)
        for fault in faults
    ]


def cut_events(what: str, tokens: int, count: int) -> list[dict[str, Any]]:
    """The event of texts that were longer than the model reads, if there were some."""
    return [{"kind": f"{what} cut to {tokens} tokens", "count": count}] if count else []
