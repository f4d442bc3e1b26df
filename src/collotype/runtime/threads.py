"""How many threads torch computes on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0
_usual = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it, torch computes on the calling thread alone.

    For work of milliseconds: torch's threads wait for each other by spinning, which on a machine that has other work
    makes it ten times longer.
    """
    import torch

    global _inside, _usual
    with _lock:
        # torch keeps a number for each thread and one for threads to come, which setting either changes: a thread that
        # comes first while another is in here would find 1 and, leaving, keep it
        if not _inside:
            _usual = torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            torch.set_num_threads(_usual)
