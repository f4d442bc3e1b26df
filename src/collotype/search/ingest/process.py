"""Worker processes, from their parent's side."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from collotype.search.ingest.limits import ReadingSettings

OUT_OF_TIME, CRASHED = "out of time", "crashed the reader"
GONE = (EOFError, ConnectionResetError, BrokenPipeError)
"""What talking to a process that has ended raises."""


class WorkerProcess:
    """`collotype.search.ingest.worker` in a process of its own; see there for what it is told and answers.

    Not `multiprocessing`: that runs the caller's main module again, and answers in pickles.
    """

    def __init__(self, settings: ReadingSettings):
        self.limits = settings.limits
        ours, theirs = socket.socketpair()
        # one thread: what numerical libraries set aside for more would count against the limit on memory
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "collotype.search.ingest.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        self.connection = Connection(ours.detach())
        # not as an argument, which all users of the machine see: passwords are among them
        self.tell(**asdict(settings))

    def wait_until_ready(self) -> None:
        try:
            self.answer()
        except GONE:
            raise RuntimeError(f"The page reader cannot start; it ends with status {self.end()}.") from None

    def tell(self, **task: Any) -> None:
        self.connection.send_bytes(json.dumps(task).encode())

    def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.connection.recv_bytes())
        return answer

    def image(self) -> bytes:
        """What follows an answer that has `pixels`."""
        return self.connection.recv_bytes()

    def kill(self) -> None:
        self.process.kill()

    def end(self) -> int:
        """Its exit status; it ends when it has no more to do."""
        self.connection.close()
        return self.process.wait()

    def why(self, status: int) -> tuple[str, str]:
        """(cause, detail) of such an end."""
        if status == -signal.SIGALRM:
            return OUT_OF_TIME, f"more than {self.limits.page_s:g} s"
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        return CRASHED, f"{name}; damaged, or needs more than {self.limits.memory_bytes >> 20:,} MiB"
