"""Labelled images for zero-shot classification: class folders, tar shards with `.cls`, a table."""

import json
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from PIL import Image

from collotype.families.clip.data.captions import decode
from collotype.families.clip.data.classes import (
    FILE_OF_NAMES,
    FILE_OF_TEMPLATES,
    IMAGENET,
    Classes,
    classes_from,
    classes_of_folders,
    named_templates,
    read_templates,
)
from collotype.families.clip.data.tables import IMAGE_COLUMNS, UNREADABLE_FILE, image_in
from collotype.runtime.errors import UserError
from collotype.runtime.shards.names import is_remote
from collotype.runtime.shards.reader import Shards
from collotype.runtime.shards.samples import Fault, SampleLayout
from collotype.runtime.tables import ParquetTable, Table, need_column, parquet
from collotype.training.bad_examples import BadExampleError

LABEL_COLUMNS = ("label", "labels", "cls", "fine_label")
ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""What torchvision's ImageFolder takes for images."""


class LabelledImages(Protocol):
    """Images of classes, by row."""

    classes: Classes
    digest: str
    """Of what the rows are, as far as it can be had without reading images."""

    @property
    def faults(self) -> Sequence[Fault]:
        """What is left out, or doubtful."""

    def __len__(self) -> int: ...

    def image(self, row: int) -> Image.Image:
        """In RGB.

        Raises:
            BadExampleError: it cannot be decoded, or is too large.
        """

    def label(self, row: int) -> int: ...

    def templates(self) -> list[str]:
        """Captions that come with the set, else OpenAI's 80 of ImageNet."""


class FolderImages:
    """A folder of class folders, as torchvision's ImageFolder reads it: classes and files in sorted order. Class
    folders that are numbers count into `names` (ImageNet-V2).

    Raises:
        UserError: there are no class folders, one has no images, or names are missing.
    """

    def __init__(self, root: Path, names: str | Sequence[str] | None = None):
        try:
            folders = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[0] != ".")
        except OSError as error:
            fault = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
            raise UserError(f"The folder {root} {fault}; give the one with the class folders.") from error
        if not folders:
            raise UserError(f"{root} has no class folders; give a folder that contains one folder per class.")
        self.root, self.classes = root, classes_of_folders(folders, names, str(root))
        self.faults = by_place(self.classes, names, str(root))
        self.paths: list[Path] = []
        self.labels: list[int] = []
        for folder, number in zip(folders, self.classes.numbers(folders, str(root)), strict=True):
            found = images_below(root / folder)
            if not found:
                raise UserError(f"{root / folder} contains no image; remove the folder or copy it again.")
            self.paths += found
            self.labels += [number] * len(found)
        named = (f"{path.relative_to(root)} {path.stat().st_size if path.exists() else None}" for path in self.paths)
        self.digest = sha256("\n".join(named).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, row: int) -> Image.Image:
        try:
            content = self.paths[row].read_bytes()
        except OSError as error:
            raise BadExampleError(UNREADABLE_FILE, str(self.paths[row])) from error
        return decode(content, str(self.paths[row]))

    def label(self, row: int) -> int:
        return self.labels[row]

    def templates(self) -> list[str]:
        return templates_beside(self.root)


def by_place(classes: Classes, names: str | Sequence[str] | None, where: str) -> list[Fault]:
    """Names that were given folders of other names go by their order alone, which nothing can check."""
    if names in (None, IMAGENET) or not classes.keys or classes.keys == classes.names:
        return []
    return [
        Fault(
            f"class folders get class names in alphabetical order ({classes.keys[0]} is {classes.names[0]!r}, …)",
            where,
            len(classes),
        )
    ]


def images_below(folder: Path) -> list[Path]:
    """In torchvision's order: the files of a folder before those of the folders in it."""
    return [
        Path(place) / name
        for place, _, names in sorted(os.walk(folder, followlinks=True))
        for name in sorted(names)
        if name.lower().endswith(ENDINGS)
    ]


class ShardImages:
    """Tar shards whose samples have a label in `.cls`: a class's number, or its name.

    Args:
        names: none: those of `classnames.txt` beside the shards or in the folder above.

    Raises:
        UserError: a shard is unusable, class names are missing, or a label is none of them.
    """

    def __init__(self, shards: Shards, names: str | Sequence[str] | None = None):
        self.shards, self.digest, self.faults = shards, shards.digest, shards.faults
        self.classes = classes_from(names if names is not None else names_beside(shards))
        texts = [shards.texts(row)[0].strip() for row in range(len(shards))]
        self.labels = self.classes.numbers(texts, shards.names[0])

    @classmethod
    def open(cls, source: str | Sequence[str], names: str | Sequence[str] | None = None) -> "ShardImages":
        return cls(Shards(source, SampleLayout(text="cls")), names)

    def __len__(self) -> int:
        return len(self.shards)

    def image(self, row: int) -> Image.Image:
        return decode(self.shards.read(row)[0], self.shards.place(row))

    def label(self, row: int) -> int:
        return self.labels[row]

    def templates(self) -> list[str]:
        return templates_beside(*folders_of(self.shards))


def folders_of(shards: Shards) -> list[Path]:
    """Where a published set keeps its lists: beside its shards, or above the folder of the split."""
    first = shards.names[0]
    return [] if is_remote(first) else list(Path(first).resolve().parents[:2])


def names_beside(shards: Shards) -> str:
    for folder in folders_of(shards):
        if (folder / FILE_OF_NAMES).is_file():
            return str(folder / FILE_OF_NAMES)
    raise UserError(f"There is no {FILE_OF_NAMES} next to {shards.names[0]} or in a folder above it; give class names.")


def templates_beside(*folders: Path) -> list[str]:
    for folder in folders:
        if (folder / FILE_OF_TEMPLATES).is_file():
            return read_templates(folder / FILE_OF_TEMPLATES)
    return named_templates("openai")


class LabelledTableImages:
    """A table with a column of images or their paths, and one of labels: numbers, names or keys of classes.

    Args:
        names: none: those in the parquet file of a `ClassLabel`, else the labels themselves, sorted.

    Raises:
        UserError: a column or a label is missing, or a label means no class.
    """

    def __init__(
        self,
        table: Table,
        picture_column: str | None = None,
        label_column: str | None = None,
        names: str | Sequence[str] | None = None,
    ):
        self.table = table
        self.image_column = need_column(table, *([picture_column] if picture_column else IMAGE_COLUMNS))
        column = need_column(table, *([label_column] if label_column else LABEL_COLUMNS))
        labels, where = table.values(column), str(table.files[0])
        self.digest, self.faults = table.digest([self.image_column, column]), ()
        names = names if names is not None else class_label_names(table, column)
        if names is None and not all(isinstance(label, str) and is_name(label) for label in labels):
            raise UserError(f"Labels of {where} are numbers, or missing; fill them in, or give class names.")
        self.classes = classes_from(names if names is not None else sorted(set(labels)))
        self.labels = self.classes.numbers(labels, where)

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, row: int) -> Image.Image:
        (file, _), origin = self.table.place(row), self.table.where(row)
        return decode(image_in(self.table.cell(row, self.image_column), file, origin), str(file))

    def label(self, row: int) -> int:
        return self.labels[row]

    def templates(self) -> list[str]:
        return templates_beside(self.table.files[0].parent)


def is_name(label: str) -> bool:
    return bool(label.strip()) and not label.isdecimal()


def class_label_names(table: Table, column: str) -> list[str] | None:
    """The names that the datasets library writes into a parquet file's schema."""
    if not isinstance(table, ParquetTable):
        return None
    written = parquet.open_parquet(table.files[0]).handle.schema_arrow.metadata or {}
    features = json.loads(written.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    names: list[str] | None = features.get(column, {}).get("names")
    return names
