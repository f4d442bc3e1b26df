"""Dry mode for plans: shapes and sizes without weights or network."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_DRY: ContextVar[bool] = ContextVar("dry", default=False)


@contextmanager
def dry() -> Iterator[None]:
    """Within it no network is asked, and tensors that are read have their shapes and no values (torch's device
    `meta`)."""
    token = _DRY.set(True)
    try:
        yield
    finally:
        _DRY.reset(token)


def is_dry() -> bool:
    return _DRY.get()
