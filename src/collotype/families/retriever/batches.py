"""Cuts pages and queries into batches with little padding."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

BATCH_TOKENS = 16384
"""Tokens of a forward pass, padding included, if nothing else is asked for."""
MOST_WASTE = 0.1
"""The part of a batch's tokens that may be padding."""


def cut_in_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Places by rising length, in batches of at most `batch_tokens` tokens and MOST_WASTE padding.

    A batch has one item at least, however long.
    """
    batches: list[list[int]] = []
    filled = 0
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        padded = lengths[place] * (len(batches[-1]) + 1) if batches else 0
        if batches and padded <= batch_tokens and padded - filled - lengths[place] <= MOST_WASTE * padded:
            batches[-1].append(place)
            filled += lengths[place]
        else:
            batches.append([place])
            filled = lengths[place]
    return batches


def padding(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """The part of all tokens that is padding."""
    padded = sum(len(batch) * max(lengths[place] for place in batch) for batch in batches)
    return 1 - sum(lengths) / padded if padded else 0.0


def in_batches(lengths: Sequence[int], batch_tokens: int, encode: Callable[[list[int]], Sequence[T]]) -> list[T]:
    """What `encode` gives for the places of each batch, in the places' own order."""
    found: dict[int, T] = {}
    for batch in cut_in_batches(lengths, batch_tokens):
        found |= zip(batch, encode(batch), strict=True)
    return [found[place] for place in range(len(lengths))]
