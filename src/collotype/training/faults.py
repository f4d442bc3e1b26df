"""Examples that cannot be read: counted, replaced, and bounded by the recipe's limit."""

from typing import Any

from collotype.runtime.errors import UserError


class BadExampleError(UserError):
    """One example of a dataset cannot be read, and others can.

    Args:
        cause: a short phrase that is the same for all examples with this trouble ("picture cannot be decoded").
        place: the file it is in.
        detail: the whole sentence, where a user would want more than cause and place.
    """

    def __init__(self, cause: str, place: str, detail: str | None = None):
        super().__init__(detail or f"{place}: {cause}.")
        self.cause, self.place = cause, place

    def __reduce__(self) -> tuple[Any, ...]:
        return BadExampleError, (self.cause, self.place, str(self))
