"""Where training and evaluation data is, so that the same file under two names is recognised."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from collotype.recipe.data import TrainSourceSection
from collotype.recipe.evaluate import Evaluate
from collotype.runtime.errors import UserError
from collotype.runtime.hub import plain
from collotype.runtime.shards.names import is_remote, is_shards, matching
from collotype.runtime.tables.files import LINES, find_table, find_tables

ENDS = 2**23
"""Bytes of the beginning and of the end of two files that are compared; equally long ones that differ in the middle
only would be a strange pair."""
Places = dict[tuple[str, str], str]
"""Resolved path and split (empty where a file is all there is), and the name that a user knows."""


def measured_and_trained(sources: Sequence[TrainSourceSection], measured: Evaluate) -> list[str]:
    """What of the data that is measured, training shows, too: the same files or shards, or copies of them."""
    trained = {place for source in sources for place in places_of(source, "train")}
    by_size: dict[int, list[str]] = {}
    for path, split in trained:
        if not split and os.path.isfile(path):
            by_size.setdefault(os.path.getsize(path), []).append(path)
    found = places_of(measured, of_split(measured))
    return [name for place, name in found.items() if place in trained or is_copy(place[0], by_size)]


def of_split(measured: Evaluate) -> str:
    default = {"captions": "validation"}.get(measured.suite, "test")
    return getattr(measured, "of_split", None) or getattr(measured, "split", None) or default


def places_of(section: TrainSourceSection | Evaluate, split: str) -> Places:
    path = getattr(section, "path", None)
    if not path:
        return {}
    split = getattr(section, "split", None) or split
    try:
        files = shards_at(path) if is_shards(path) else tables_at(path, split, getattr(section, "subset", None))
    except UserError:
        files = ()
    found: Places = {}
    for file in files:
        found.setdefault((resolved(str(file)), ""), str(file))
    if found:
        return found
    one_file = Path(path).is_file() or Path(path).suffix in (".parquet", *LINES)
    return {(resolved(path), "" if one_file else split): path if one_file else f"{path} ({split})"}


def resolved(path: str) -> str:
    if is_remote(path) or path.startswith("pipe:"):
        return path
    place = Path(path).expanduser()
    # a repository of the hub is the same data at any revision
    return str(place.resolve()) if place.exists() or (name := plain(path)) == path else str(name)


def shards_at(path: str) -> list[str]:
    return [name for part in path.split("::") for name in matching(part.strip())]


def tables_at(path: str, split: str, subset: str | None) -> Iterable[Path]:
    """The files of that split; a name of the hub is left alone."""
    folder = Path(path).expanduser()
    if not folder.exists():
        return ()
    try:
        return find_table(path, split, subset)
    except UserError:
        return [file for files in find_tables(folder, split).values() for file in files]


def is_copy(path: str, by_size: Mapping[int, list[str]]) -> bool:
    """Does one of these files hold the same bytes?"""
    if not os.path.isfile(path) or not (size := os.path.getsize(path)):
        return False
    return any(ends(path, size) == ends(other, size) for other in by_size.get(size, ()))


def ends(path: str, size: int) -> tuple[bytes, bytes]:
    with open(path, "rb") as file:
        first = file.read(ENDS)
        file.seek(max(0, size - ENDS))
        return first, file.read(ENDS)
