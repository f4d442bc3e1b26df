"""Sidecar files: memory-mapped data that can be rebuilt from the table at any time.

Each is a folder that appears whole, named after the version of the table it was made from. It names its pages by key,
so a page that was deleted or written again since is not found in it, and one that is newer is known to be missing.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from collotype.runtime.files import PARTIAL, atomic_folder, write_json

if TYPE_CHECKING:
    from collotype.search.store import Catalogue

FORMAT = 1


@dataclass(frozen=True)
class Sidecar:
    """One side file, its arrays memory-mapped."""

    version: int
    """Of the table it was made from."""
    arrays: Mapping[str, np.ndarray]


def rows_in(side: Sidecar | None, catalogue: "Catalogue") -> np.ndarray:
    """Where in a side file each page of a catalogue is, -1 where it is not, int64 [P]."""
    found = np.full(len(catalogue), -1)
    if side:
        places = catalogue.find(np.asarray(side.arrays["keys"]))
        there = np.flatnonzero(places >= 0)
        found[places[there]] = there
    return found


def newest(folder: Path, kind: str) -> Sidecar | None:
    """The newest side file of a kind that can be read; none where there is none, or none of this format."""
    for _ in range(3):
        paths = versions(folder, kind)
        try:
            return next((side for path in paths if (side := read(path))), None)
        except FileNotFoundError:
            continue
    return None


def read(path: Path) -> Sidecar | None:
    try:
        about = json.loads((path / "side.json").read_text())
        if about["format"] != FORMAT:
            return None
        arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in about["arrays"]}
        return Sidecar(about["version"], arrays)
    except (ValueError, KeyError, TypeError):
        # damaged: it can be made again, and until then the table has all of it
        return None


def write(folder: Path, kind: str, version: int, fill: Callable[[Path], None]) -> None:
    """Writes one, by `fill`, which puts NAME.npy files into the folder it is given; older ones are removed."""
    path = folder / f"{kind}-{version:012d}"
    if path.exists() and read(path):
        return
    with atomic_folder(path) as scratch:
        fill(scratch)
        names = sorted(file.stem for file in scratch.glob("*.npy"))
        write_json(scratch / "side.json", {"format": FORMAT, "version": version, "arrays": names})
    for old in versions(folder, kind)[1:]:
        shutil.rmtree(old, ignore_errors=True)


def names(folder: Path) -> tuple[str, ...]:
    """What tells one state of the side files from another."""
    return tuple(sorted(path.name for path in folder.glob("[!.]*"))) if folder.is_dir() else ()


def versions(folder: Path, kind: str) -> list[Path]:
    """The side files of a kind, the newest first."""
    return sorted((path for path in folder.glob(f"{kind}-*") if not path.name.endswith(PARTIAL)), reverse=True)
