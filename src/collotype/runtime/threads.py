"""How many threads torch computes on."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it, torch computes on the calling thread alone.

    For work of milliseconds: torch's threads wait for each other by spinning, which on a machine that has other work
    makes it ten times longer.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
