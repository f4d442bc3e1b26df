"""Renders page images in a worker process, so that a bad file cannot crash the caller."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from collotype.runtime.errors import UserError
from collotype.search.ingest.limits import ReadingSettings
from collotype.search.ingest.process import GONE, WorkerProcess

if TYPE_CHECKING:
    from PIL import Image


class Drawer:
    """One process, started with the first image; threads take turns."""

    def __init__(self, settings: ReadingSettings = ReadingSettings()):  # noqa: B008 - frozen
        self.settings, self.turn = settings, threading.Lock()
        self.worker: WorkerProcess | None = None

    def draw(self, path: Path, page: int, longest_px: int) -> "Image.Image":
        """The page in RGB, its longest edge `longest_px` pixels (an image file is not made larger).

        Raises:
            UserError: there is no such page, or it cannot be drawn.
        """
        from PIL import Image

        with self.turn:
            if self.worker is None:
                self.worker = WorkerProcess(self.settings)
                self.worker.wait_until_ready()
            try:
                self.worker.tell(file=str(path), draw=page, longest_px=longest_px)
                answer = self.worker.answer()
                if answer["event"] == "lost":
                    raise UserError(answer["detail"])
                return Image.frombytes("RGB", tuple(answer["size"]), self.worker.image())
            except GONE:
                cause, detail = self.worker.why(self.worker.end())
                self.worker = None
                raise UserError(f"{path}, page {page} cannot be drawn: {cause} ({detail}).") from None

    def close(self) -> None:
        with self.turn:
            if self.worker:
                self.worker.kill()
                self.worker.end()
                self.worker = None
