"""The classes of a labelled dataset: their names, and the class of each label."""

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from collotype.runtime.errors import UserError

ASSETS = Path(__file__).parents[3] / "assets" / "clip"
IMAGENET = "imagenet"
SYNSET = re.compile(r"n\d{8}")
FILE_OF_NAMES, FILE_OF_TEMPLATES = "classnames.txt", "zeroshot_classification_templates.txt"
"""What published shards of classification sets have beside them."""


@dataclass(frozen=True)
class Classes:
    """Classes by number.

    Args:
        names: as a caption would name them.
        keys: the name of each class's folder, its synset for ImageNet; None: there are no folders.
    """

    names: tuple[str, ...]
    keys: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def number(self, label: Hashable) -> int | None:
        """The class that a label means by number, key or name; None where it means none, or a name of several."""
        for choices in (self.keys, self.names):
            if choices.count(label) == 1:
                return choices.index(label)
        if isinstance(label, int) or (isinstance(label, str) and label.isdecimal() and label not in self.names):
            return int(label) if 0 <= int(label) < len(self) else None
        return None

    def numbers(self, labels: Iterable[Hashable], where: str) -> list[int]:
        """
        Raises:
            UserError: some labels mean no class.
        """
        labels = [label if isinstance(label, Hashable) else repr(label) for label in labels]
        meant = {label: self.number(label) for label in dict.fromkeys(labels)}
        strange = [label for label, number in meant.items() if number is None]
        if strange:
            shown, known = ", ".join(map(repr, strange[:5])), ", ".join(map(repr, (self.keys or self.names)[:3]))
            raise UserError(
                f"{where} has {len(strange)} labels that are none of the {len(self)} classes ({known}, …): {shown}; "
                "give the right class names."
            )
        return [number for label in labels if (number := meant[label]) is not None]


@lru_cache(maxsize=1)
def imagenet_classes() -> Classes:
    """The 1,000 classes of ImageNet-1k in the names OpenAI gave them, by synset."""
    lines = (ASSETS / "imagenet-classes.tsv").read_text().splitlines()
    synsets, names = zip(*(line.split("\t") for line in lines), strict=True)
    return Classes(names, synsets)


def named_templates(name: str) -> list[str]:
    """`openai`: CLIP's 80 captions for ImageNet; `simple`: seven of them; `none`: the bare name. `{}` stands for it."""
    files = {"openai": "imagenet-templates.txt", "simple": "imagenet-templates-simple.txt"}
    return ["{}"] if name == "none" else read_templates(ASSETS / files[name])


def read_templates(path: Path) -> list[str]:
    """A caption a line, with `{}` (or `{c}`, as published sets have it) for the class.

    Raises:
        UserError: the file is missing, or a line has no place for the class.
    """
    templates = [line.replace("{c}", "{}") for line in lines_of(path)]
    for template in templates:
        if template.count("{}") != 1:
            raise UserError(f"{path}: {template!r} must have one {{}} where the class's name goes; correct it.")
    return templates


def lines_of(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); correct the path.") from error


def classes_from(names: str | Sequence[str]) -> Classes:
    """`imagenet`, a file with a name a line, or the names themselves.

    Raises:
        UserError: there are none.
    """
    if names == IMAGENET:
        return imagenet_classes()
    found = tuple(lines_of(Path(names)) if isinstance(names, str) else names)
    if not found:
        raise UserError(f"{names!r} contains no class names; give one per line.")
    return Classes(found)


def classes_of_folders(folders: Sequence[str], names: str | Sequence[str] | None, where: str) -> Classes:
    """The classes that folders in sorted order stand for. Without `names`: synsets of ImageNet by their names there
    (its subsets too), others by the folder's name.

    Raises:
        UserError: there are more or fewer names than folders, or folders named by number have no names.
    """
    known = imagenet_classes()
    if names is None and folders and set(folders) <= set(known.keys):
        names = [known.names[known.keys.index(folder)] for folder in folders]
    if names is None and all(map(str.isdecimal, folders)):
        raise UserError(f"The class folders of {where} are numbers ({', '.join(folders[:3])}, …); give class names.")
    if names == IMAGENET and set(folders) <= set(known.keys):
        return known
    given = classes_from(names if names is not None else folders)
    if all(map(str.isdecimal, folders)):
        return given
    if set(folders) <= set(given.names):
        return Classes(given.names, given.names)
    if names == IMAGENET:
        strange = [folder for folder in folders if folder not in known.keys]
        raise UserError(
            f"{where} has folders that are not ImageNet synsets ({', '.join(strange[:3])}); give the folder with "
            "n01440764 and the others, or use the suite labelled."
        )
    if len(given) != len(folders):
        raise UserError(
            f"{where} has {len(folders)} class folders, but {len(given)} class names are given; correct them."
        )
    return Classes(given.names, tuple(folders))
