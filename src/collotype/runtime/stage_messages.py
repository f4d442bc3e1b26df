"""Messages on stages that take long."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 2.0
_told = False


def tell_stages() -> None:
    """From now on this process says on stderr, a terminal or a log, what takes long: what a command does."""
    global _told
    _told = True


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Says `what` is being done where the block takes longer than `PATIENCE_S`, and at its end how long it took."""
    if not _told:
        yield
        return
    began = time.monotonic()
    timer = threading.Timer(PATIENCE_S, say, [f"{what} …"])
    timer.daemon = True
    timer.start()
    try:
        yield
        if (seconds := time.monotonic() - began) > 2 * PATIENCE_S:
            say(f"{what}: {seconds:.0f} s")
    finally:
        timer.cancel()


def say(line: str) -> None:
    print(f"collotype: {line}", file=sys.stderr, flush=True)


def in_gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
