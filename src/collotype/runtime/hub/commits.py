"""The commits that hub names resolve to: asked once per command, and recorded."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from collotype.runtime.hub.names import HubSource


@dataclass(frozen=True)
class CommitScope:
    pins: Mapping[str, str]
    used: dict[str, str] = field(default_factory=dict)


_OPEN: ContextVar[tuple[CommitScope, ...]] = ContextVar("open", default=())


@contextmanager
def commits(pins: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Within it a name of the hub means one commit, that of `pins` if it stands there, else what it was found to be.

    Yields:
        name -> commit of all that is used within; it fills meanwhile.
    """
    block = CommitScope(pins or {})
    token = _OPEN.set((*_OPEN.get(), block))
    try:
        yield block.used
    finally:
        _OPEN.reset(token)


def known(source: HubSource) -> str | None:
    """The commit that the name means here, if that was decided."""
    for block in reversed(_OPEN.get()):
        if commit := block.pins.get(source.key) or block.used.get(source.key):
            return commit
    return None


def use(source: HubSource) -> None:
    for block in _OPEN.get():
        block.used.setdefault(source.key, source.commit)


def used() -> dict[str, str]:
    """What the innermost `commits` has seen used: name -> commit, sorted by name."""
    return dict(sorted(_OPEN.get()[-1].used.items())) if _OPEN.get() else {}


def in_words(commits: Mapping[str, str]) -> str:
    """NAME at COMMIT, …"""
    return ", ".join(f"{name} at {commit}" for name, commit in commits.items())
