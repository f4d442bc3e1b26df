"""Pictures of pages, drawn by a process that a hostile file may crash, fill or hang without harm to who asks.

`python -m collotype.search.drawing DESCRIPTOR` takes a JSON object a picture from that socket and answers with an `ok`
or a reason, then the bytes of a JPEG.
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

PAGE_S = 20
MEMORY_BYTES = 2**30
"""That drawing a page may take beside what the process takes by itself."""
JPEG_QUALITY = 90


def draw(file: Path, page: int, longest_px: int) -> "Image.Image":
    """A page of a PDF, or a picture, its longest edge `longest_px` pixels (a smaller picture stays as it is).

    Raises:
        UserError: there is no such page, or it cannot be read.
    """
    from collotype.runtime import pdf
    from collotype.runtime.pictures import decode, opaque

    if file.suffix.lower() == ".pdf":
        return pdf.render(file, page, longest_px)
    if page != 1:
        raise UserError(f"{file} is a picture and has no page {page}.")
    picture = opaque(decode(file, str(file)))
    picture.thumbnail((longest_px, longest_px))
    return picture


class Drawer:
    """`draw` in a process of its own, which is started when there is something to draw and replaced when it dies.

    One page at a time: threads that ask at once wait for each other.
    """

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.process: subprocess.Popen | None = None

    def __call__(self, file: Path, page: int, longest_px: int) -> "Image.Image":
        """As `draw`.

        Raises:
            UserError: also where the page took too much time or memory, or crashed the process.
        """
        from PIL import Image

        with self.turn:
            if self.process is None:
                self.start()
            try:
                self.connection.send_bytes(json.dumps([str(file), page, longest_px]).encode())
                problem, content = self.connection.recv_bytes().decode(), self.connection.recv_bytes()
            except (OSError, EOFError):
                problem = self.ended(file, page)
        if problem:
            raise UserError(problem)
        return Image.open(io.BytesIO(content), formats=["JPEG"])

    def start(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "collotype.search.drawing", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
            )
        self.connection = Connection(ours.detach())

    def ended(self, file: Path, page: int) -> str:
        status = self.close()
        why = f"took longer than {PAGE_S} s" if status == -signal.SIGALRM else "crashed what draws it"
        return f"Page {page} of {file} {why}; leave it out."

    def close(self) -> int:
        """Ends the process; its status."""
        process, self.process = self.process, None
        if process is None:
            return 0
        self.connection.close()
        return process.wait()


def main(descriptor: str) -> None:
    from collotype.runtime import pdf
    from collotype.search.ingest.worker import limit_memory

    # Ctrl-C is the parent's to hear
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = Connection(int(descriptor))
    pdf.load_library()
    limit_memory(MEMORY_BYTES)
    try:
        while True:
            file, page, longest_px = json.loads(parent.recv_bytes())
            problem, content = drawn(Path(file), page, longest_px)
            parent.send_bytes(problem.encode())
            parent.send_bytes(content)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # nobody wants pictures any more


def drawn(file: Path, page: int, longest_px: int) -> tuple[str, bytes]:
    """(why it cannot be drawn, a JPEG); the alarm ends the process, no C library would hear of anything milder."""
    content = io.BytesIO()
    signal.setitimer(signal.ITIMER_REAL, PAGE_S)
    try:
        draw(file, page, longest_px).save(content, "JPEG", quality=JPEG_QUALITY)
    except UserError as error:
        return str(error), b""
    except MemoryError:
        return f"Page {page} of {file} takes more than {MEMORY_BYTES >> 20:,} MiB to draw; leave it out.", b""
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "", content.getvalue()


if __name__ == "__main__":
    main(*sys.argv[1:])
