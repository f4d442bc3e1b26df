"""Examples that cannot be read: counted, replaced, and limited by the recipe."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from collotype.recipe import Recipe
from collotype.runtime.errors import UserError

SHOWN_ROWS = 5


class BadExampleError(UserError):
    """One example of a dataset cannot be read, and others can.

    Args:
        cause: a short phrase that is the same for all examples with this trouble ("image cannot be decoded").
        place: the file it is in.
        detail: the whole sentence, where a user would want more than cause and place.
    """

    def __init__(self, cause: str, place: str, detail: str | None = None):
        super().__init__(detail or f"{place}: {cause}.")
        self.cause, self.place = cause, place

    def __reduce__(self) -> tuple[Any, ...]:
        return BadExampleError, (self.cause, self.place, str(self))


def allowed_bad(recipe: Recipe, examples: int) -> int:
    """How many of so many examples may be bad."""
    return int(recipe.data.max_bad_examples * examples)


class BadExample(NamedTuple):
    """An example that was replaced."""

    dataset: int
    row: int
    cause: str
    place: str


@dataclass
class BadExampleLog:
    """The faults of a run so far; each example counts once, however often it came up.

    Args:
        limit: the number of examples that may be bad.
    """

    limit: int
    seen: set[BadExample]

    def add(self, found: Iterable[BadExample]) -> None:
        """
        Raises:
            UserError: there are more than the limit.
        """
        self.seen |= set(found)
        if len(self.seen) > self.limit:
            worst = self.events()[0]
            raise UserError(
                f"{len(self.seen)} training examples could not be read, but data.max_bad_examples allows {self.limit}; "
                f"most are in {worst['place']} ({worst['cause']}): fix those, or raise the limit."
            )

    def events(self) -> list[dict[str, Any]]:
        """For the record: how many of which cause and place, the most frequent first."""
        kinds = Counter((fault.dataset, fault.cause, fault.place) for fault in self.seen)
        return [
            {
                "kind": "bad examples replaced",
                "source": dataset,
                "cause": cause,
                "place": place,
                "count": count,
                "first rows": sorted(f.row for f in self.seen if (f.dataset, f.cause, f.place) == kind)[:SHOWN_ROWS],
            }
            for kind, count in kinds.most_common()
            for dataset, cause, place in [kind]
        ]

    def saved(self) -> list[list[Any]]:
        """As JSON; `BadExampleLog(limit, {BadExample(*fault) for fault in saved})` reads it."""
        return [list(fault) for fault in sorted(self.seen)]
