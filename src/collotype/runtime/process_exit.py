"""Ends a process that is one of several."""

import os
import sys


def leave(status: int) -> None:
    """Ends a process that took part in a group with `status`, at once; returns where there was no group.

    gloo's threads may still hold tensors when the interpreter shuts down; a thread that then asks for the interpreter
    is torn off and aborts the process, whose work had long been done (pytorch/pytorch, pull request 179291).
    """
    if "torch.distributed" not in sys.modules or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
