"""Which files of a folder, or of a repository of the hub, make a table.

The layouts of the hub are read: CONFIGURATION/SPLIT-00000-of-00002.parquet, CONFIGURATION/SPLIT/0000.parquet, and the
same without a configuration, below `data` or not. A file without a split in its path belongs to none.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from collotype.runtime.errors import UserError
from collotype.runtime.hub import REPOSITORY, fetch

SPLITS = ("train", "test", "validation", "valid", "val", "dev")
LINES = (".jsonl", ".csv", ".tsv")
"""Tables of one file, a row a line."""

BySplit = dict[str | None, list[Path]]


def find_table(path: str, split: str = "train", subset: str | None = None) -> list[Path]:
    """The files of one table, in order: parquet files of `split`, or of no split, if none says one; else a single file
    of lines.

    Args:
        path: a file, a folder, or a dataset of the hub.
        subset: a folder of it to stay in.

    Raises:
        UserError: there is nothing at `path` and the hub has no such dataset or cannot be reached; the folder has no
            table, or none of that split.
    """
    place = Path(path).expanduser()
    if not place.exists():
        if not REPOSITORY.fullmatch(path) or place.suffix in (".parquet", *LINES):
            raise UserError(f"There is no table {path}; give a .parquet or .jsonl file, a folder, or a hub name.")
        start = f"{subset}/" if subset else ""
        instead = "put its parquet files into a folder and set `path` to that"
        place = fetch(path, [f"{start}*{split}*.parquet"], "dataset", instead)
    if place.is_file():
        if place.suffix not in (".parquet", *LINES):
            raise UserError(f"{path} is none of .parquet, {', '.join(LINES)}; write the table in one of these formats.")
        return [place]
    return files_in(place / subset if subset else place, split)


def files_in(folder: Path, split: str) -> list[Path]:
    """The files of a folder's only table; `pairs.jsonl`, if it is there."""
    if (folder / "pairs.jsonl").is_file():
        return [folder / "pairs.jsonl"]
    by_split: BySplit = {}
    for splits in parquet_files(folder, split).values():
        for name, files in splits.items():
            by_split.setdefault(name, []).extend(files)
    chosen = by_split.get(split) or (by_split[None] if list(by_split) == [None] else [])
    if chosen:
        return sorted(chosen)
    if lines := sorted(file for file in folder.glob("*") if file.suffix in LINES):
        if len(lines) == 1:
            return lines
        raise UserError(f"{folder} holds {len(lines)} {' and '.join(endings(lines))} files; set `path` to one of them.")
    if by_split:
        found = ", ".join(sorted(name or "of no split" for name in by_split))
        raise UserError(f"{folder} has no parquet files of the split {split!r}; it has {found}.")
    arrow = " (its .arrow files are of `save_to_disk`; `to_parquet` writes what is read here)"
    arrow = arrow if any(folder.rglob("*.arrow")) else ""
    raise UserError(f"{folder} holds no .parquet and no pairs.jsonl{arrow}; set `path` to a table, or `subset`.")


def endings(files: list[Path]) -> list[str]:
    return sorted({file.suffix for file in files})


def find_tables(place: Path, split: str) -> dict[str, list[Path]]:
    """The files of a dataset's tables by configuration (`corpus`, `queries`, …), each in order.

    Files outside all configurations, and a single file, are of the configuration `default`. A configuration without
    `split` gives its only one.

    Raises:
        UserError: no parquet files, or several splits and none of that name.
    """
    if place.is_file():
        return {"default": [place]}
    by_configuration = parquet_files(place, split)
    if not by_configuration:
        raise UserError(f"{place} holds no parquet files; give a folder with a copy of the dataset's.")
    return {name: chosen(splits, split, place / name) for name, splits in by_configuration.items()}


def chosen(splits: Mapping[str | None, list[Path]], split: str, place: Path) -> list[Path]:
    if split in splits:
        return splits[split]
    if len(splits) == 1:
        return next(iter(splits.values()))
    found = ", ".join(name or "one without a name" for name in splits)
    raise UserError(f"{place} has the splits {found} and no {split!r}; name one of them as the split.")


def parquet_files(folder: Path, split: str) -> dict[str, BySplit]:
    """The parquet files below a folder by configuration and split, in order of their paths."""
    found: dict[str, BySplit] = {}
    for file in sorted(folder.rglob("*.parquet")):
        parts = file.relative_to(folder).parts
        names = [split_named(part, split) for part in parts]
        says = max((place for place, name in enumerate(names) if name), default=None)
        above = [part for place, part in enumerate(parts[:-1]) if place != says]
        configuration = above[-1] if above and above[-1] != "data" else "default"
        name = None if says is None else names[says]
        found.setdefault(configuration, {}).setdefault(name, []).append(file)
    return found


def split_named(part: str, wanted: str) -> str | None:
    """The split that a folder or file is named by: one of the usual ones, or the one that is looked for."""
    first = re.split(r"[-_.]", part)[0]
    return wanted if part.removesuffix(".parquet").partition("-")[0] == wanted else first if first in SPLITS else None
