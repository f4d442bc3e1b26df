"""Finds a model in a folder or hub repository, and downloads only the files that are read."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from collotype.runtime.errors import UserError
from collotype.runtime.hub.names import address_parts, parse
from collotype.runtime.hub.needs import Need
from collotype.runtime.hub.snapshot import Snapshot, snapshot

FILES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".json", ".spm", ".npz")
"""How no repository's name ends that is meant as one."""


@dataclass(frozen=True)
class ModelLocation:
    """A model's folder; of a repository, the folder of its commit, to which what is asked for comes."""

    folder: Path
    name: str
    """Of the repository, without its revision; else the folder's."""
    found: Snapshot | None = None

    def has(self, name: str) -> bool:
        return name in self.found.files if self.found else (self.folder / name).is_file()

    def needs(self, names: Iterable[str]) -> list[Need]:
        """What `fetch` will fetch, if it will."""
        return [Need(self.found, [*names])] if self.found else []

    def names(self) -> list[str]:
        """Of the files at the top."""
        if self.found:
            return sorted(name for name in self.found.files if "/" not in name)
        return sorted(path.name for path in self.folder.iterdir())

    def fetch(self, names: Iterable[str]) -> Path:
        """The folder, with those of these files that there are."""
        return self.found.fetch(names) if self.found else self.folder

    def weights(self, stem: str) -> list[str]:
        """`STEM.safetensors`, or the shards that its index names, and the index.

        Raises:
            UserError: a repository has neither.
        """
        index, whole = f"{stem}.safetensors.index.json", f"{stem}.safetensors"
        if self.found is None:
            return []
        if self.has(index):
            return [index, *shards_in(self.fetch([index]) / index)]
        if not self.has(whole):
            pickles = [name for name in self.names() if name.endswith((".bin", ".pt", ".pth"))]
            why = f" ({pickles[0]} is a pickle, which may run code and is never read)" if pickles else ""
            raise UserError(
                f"The model {self.found.source.repository} contains no {whole}{why}; use a revision or repository with "
                "safetensors files (NAME@REVISION)."
            )
        return [whole]


def shards_in(index: Path) -> list[str]:
    """
    Raises:
        UserError: the index is none.
    """
    try:
        return sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{index} is not an index of weights ({error!r}); copy the folder again.") from error


def locate(source: str | Path, first: Sequence[str], files: Sequence[str]) -> ModelLocation | None:
    """Where the model in a folder, or in a repository of the hub, lies; none where the source is neither.

    Args:
        first: the small files that tell what it is; they are there afterwards, if the repository has them.
        files: what a user without a network has to copy, in words.

    Raises:
        UserError: there is no such repository or revision, or the hub cannot be reached or refuses.
    """
    if Path(source).is_dir():
        return ModelLocation(Path(source), str(source))
    is_file = Path(source).suffix in FILES and address_parts(str(source)) is None
    named = None if is_file else parse(source, "model")
    if named is None:
        return None
    found = snapshot(named, f"copy {', '.join(files)} of it into a folder and give that folder's path")
    found.fetch(first)
    return ModelLocation(found.folder, named.repository, found)


def below(names: Iterable[str], folder: str) -> Iterator[str]:
    """Those of the names that are files of that folder."""
    return (name for name in names if name.startswith(f"{folder}/") and "/" not in name.removeprefix(f"{folder}/"))
