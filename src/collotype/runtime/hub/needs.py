"""The downloads that a run needs, known in advance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from collotype.runtime.hub.refusals import in_bytes, require_room
from collotype.runtime.hub.snapshot import Snapshot


@dataclass(frozen=True)
class Need:
    """Files of a repository; those that are here are not needed any more."""

    found: Snapshot
    names: Sequence[str]

    @property
    def size(self) -> int:
        """Bytes that are not here."""
        return self.found.size(self.names)

    def require_access(self) -> None:
        """
        Raises:
            UserError: the hub would not give them.
        """
        self.found.require_access(self.names)


def require_all(needs: Sequence[Need]) -> None:
    """Asks for each whether it would be given, and whether there is room for all, before any is fetched.

    Raises:
        UserError: the hub refuses one of them, or cannot be reached; there is no room.
    """
    for need in needs:
        need.require_access()
    require_room_for(needs)


def require_room_for(needs: Sequence[Need]) -> None:
    """
    Raises:
        UserError: there is no room for all of them.
    """
    if wanting := [need for need in needs if need.size]:
        largest = max(wanting, key=lambda need: need.size)
        require_room(largest.found.source, sum(need.size for need in wanting))


class HubFacts(TypedDict):
    """Bytes that a run fetches, in all and by repository."""

    bytes: int
    repositories: dict[str, int]


def facts_of(needs: Sequence[Need]) -> HubFacts:
    """For a plan."""
    sizes: dict[str, int] = {}
    for need in needs:
        sizes[need.found.source.key] = sizes.get(need.found.source.key, 0) + need.size
    wanted = {key: size for key, size in sizes.items() if size}
    return {"bytes": sum(wanted.values()), "repositories": wanted}


def in_words(facts: HubFacts) -> str:
    """8.3 GB of 3 repositories."""
    count = len(facts["repositories"])
    if not count:
        return "nothing: everything from the hub is on this machine"
    return f"{in_bytes(facts['bytes'])} of {count} repositor{'ies' if count > 1 else 'y'} of the hub"
