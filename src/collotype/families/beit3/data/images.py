"""The images of questions, by number: files of a folder, or cells of a table."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from collotype.runtime import images
from collotype.runtime.errors import UserError
from collotype.runtime.images import MAX_PIXELS
from collotype.runtime.tables import Table
from collotype.runtime.texts import Texts
from collotype.training.bad_examples import BadExampleError

UNREADABLE_FILE = "image file cannot be read"
SHOWN = 3


class QuestionImages(Protocol):
    """Random access by number."""

    def __len__(self) -> int: ...

    def name(self, image: int) -> str:
        """What tells it from the others."""

    def place(self, image: int) -> str:
        """The file or folder it is in, as a user knows it."""

    def read(self, image: int) -> bytes:
        """The image's file.

        Raises:
            BadExampleError: it cannot be read.
        """

    def digest(self) -> str:
        """Of what they are, as far as it can be had without reading them."""

    def require(self, numbers: Iterable[int]) -> None:
        """
        Raises:
            UserError: some of these images are not there, as far as it can be had without reading them.
        """


class ImageFiles:
    """Files below a folder.

    Args:
        names: each image's path, relative to `root` or not.
    """

    def __init__(self, root: Path, names: Iterable[str]):
        self.root, self._names = root, Texts((name,) for name in names)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, image: int) -> str:
        return self._names[image][0]

    def place(self, image: int) -> str:
        return str((self.root / self.name(image)).parent)

    def read(self, image: int) -> bytes:
        path = self.root / self.name(image)
        try:
            return path.read_bytes()
        except OSError as error:
            raise BadExampleError(UNREADABLE_FILE, str(path.parent), f"{path}: {error.strerror}.") from error

    def digest(self) -> str:
        return self._names.digest()

    def require(self, numbers: Iterable[int]) -> None:
        """
        Raises:
            UserError: some of these images are not there.
        """
        folders: dict[Path, set[str]] = {}
        missing = []
        for number in numbers:
            path = self.root / self.name(number)
            if path.parent not in folders:
                folders[path.parent] = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
            if path.name not in folders[path.parent]:
                missing.append(str(path))
        if missing:
            some = ", ".join(missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
            raise UserError(
                f"{len(missing):,} images that questions refer to are missing ({some}); copy them, because a question "
                "needs its image."
            )


class QuestionTableImages:
    """Cells of a table that hold images.

    Args:
        rows: the table's row of each image.
    """

    def __init__(self, table: Table, column: str, rows: np.ndarray):
        self.table, self.column, self.rows = table, column, rows

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, image: int) -> str:
        return self.table.where(int(self.rows[image]))

    def place(self, image: int) -> str:
        return str(self.table.place(int(self.rows[image]))[0])

    def read(self, image: int) -> bytes:
        row = int(self.rows[image])
        try:
            cell = self.table.cell(row, self.column)
            return images.encoded(cell, self.table.place(row)[0].parent, self.table.where(row))
        except UserError as error:
            raise BadExampleError(UNREADABLE_FILE, self.place(image), str(error)) from error

    def digest(self) -> str:
        return self.table.digest([self.column])

    def require(self, numbers: Iterable[int]) -> None:
        """What is not there is found when it is read."""


def decoded(source: QuestionImages, image: int, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The whole image as upstream's loader gives it: see `images.as_stored`.

    Raises:
        BadExampleError: it cannot be read, is damaged, no image, or has more than `max_pixels`.
    """
    content = source.read(image)
    try:
        return images.as_stored(content, source.name(image), max_pixels)
    except images.ImageError as error:
        raise BadExampleError(error.cause, source.place(image), str(error)) from error
