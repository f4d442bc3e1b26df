"""Which files of a folder, or of a repository of the hub, make a table.

The layouts of the hub are read: CONFIGURATION/SPLIT-00000-of-00002.parquet, CONFIGURATION/SPLIT/0000.parquet, and the
same without a configuration, below `data` or not. A file without a split in its path belongs to none. Files are chosen
by their names alone, so that of a repository no other ones are fetched.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from collotype.runtime.errors import UserError
from collotype.runtime.hub import Need, Snapshot, parse, snapshot

SPLITS = ("train", "test", "validation", "valid", "val", "dev")
LINES = (".jsonl", ".csv", ".tsv")
"""Tables of one file, a row a line."""
NAMED_IN_CELLS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".pdf")
"""Files that the cells of such tables name."""

BySplit = dict[str | None, list[str]]


def find_table(path: str, split: str = "train", subset: str | None = None) -> list[Path]:
    """The files of one table, in order: parquet files of `split`, or of no split, if none says one; else a single file
    of lines, of that split, if several are there.

    Args:
        path: a file, a folder, or a dataset of the hub.
        subset: a folder of it to stay in.

    Raises:
        UserError: there is nothing at `path` and the hub has no such dataset or cannot be reached; the folder has no
            table, or none of that split.
    """
    place = Path(path).expanduser()
    if place.is_file():
        if place.suffix not in (".parquet", *LINES):
            raise UserError(
                f"{path} is not a .parquet, {', '.join(LINES)} file; convert the table to one of these formats."
            )
        return [place]
    if place.is_dir():
        inside = place / subset if subset else place
        return [inside / name for name in files_in(names_in(inside), split, inside)]
    found = on_hub(path)
    names = table_in(found, split, subset)
    folder = found.fetch(wanted_with(names, found.files))
    return [folder / name for name in names]


def needs_of(path: str, split: str, subset: str | None = None) -> list[Need]:
    """What `find_table` will fetch, if it will."""
    if Path(path).expanduser().exists():
        return []
    found = on_hub(path)
    return [Need(found, wanted_with(table_in(found, split, subset), found.files))]


def on_hub(path: str) -> Snapshot:
    """
    Raises:
        UserError: it is not a name of a dataset, or the hub has none of that name, or cannot be reached or refuses.
    """
    source = None if Path(path).suffix in (".parquet", *LINES) else parse(path, "dataset")
    if source is None:
        raise UserError(f"There is no table {path}; give a .parquet, .jsonl or .csv file, a folder, or a hub name.")
    return snapshot(source, "put its parquet files into a folder and set `path` to that")


def table_in(found: Snapshot, split: str, subset: str | None = None) -> list[str]:
    """The files of a dataset's only table, by its listing."""
    start = f"{subset.strip('/')}/" if subset else ""
    names = [name.removeprefix(start) for name in found.files if name.startswith(start)]
    where = f"{found.source.repository}{f' ({subset})' if subset else ''}"
    return [f"{start}{name}" for name in files_in(sorted(names), split, where)]


def wanted_with(names: Sequence[str], files: Iterable[str]) -> list[str]:
    """The files of a table, and, where its cells only name images, all images and PDFs there are."""
    embeds = names[0].endswith(".parquet")
    return [*names, *(() if embeds else (name for name in files if name.lower().endswith(NAMED_IN_CELLS)))]


def names_in(folder: Path) -> list[str]:
    """The files below a folder, as a repository lists them."""
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def files_in(names: Sequence[str], split: str, where: object) -> list[str]:
    """The files of the only table among these; `pairs.jsonl`, if it is there."""
    if "pairs.jsonl" in names:
        return ["pairs.jsonl"]
    by_split: BySplit = {}
    for splits in parquet_files(names, split).values():
        for name, files in splits.items():
            by_split.setdefault(name, []).extend(files)
    chosen = by_split.get(split) or (by_split[None] if list(by_split) == [None] else [])
    if chosen:
        return sorted(chosen)
    lines = [name for name in names if PurePosixPath(name).suffix in LINES and name.rpartition("/")[0] in ("", "data")]
    if of_split := [name for name in lines if split_named(PurePosixPath(name).name, split) == split]:
        lines = of_split
    if len(lines) == 1:
        return lines
    if lines:
        raise UserError(
            f"{where} contains {len(lines)} {' and '.join(endings(lines))} files; set `path` to one of them."
        )
    if by_split:
        found = ", ".join(sorted(name or "of no split" for name in by_split))
        raise UserError(f"{where} has no parquet files for the split {split!r}; it has {found}.")
    arrow = " (its .arrow files were written by `save_to_disk`; use `to_parquet` instead)"
    arrow = arrow if any(name.endswith(".arrow") for name in names) else ""
    raise UserError(f"{where} contains no .parquet and no pairs.jsonl{arrow}; set `path` to a table, or `subset`.")


def endings(names: Sequence[str]) -> list[str]:
    return sorted({PurePosixPath(name).suffix for name in names})


def find_tables(place: Path, split: str) -> dict[str, list[Path]]:
    """The files of a dataset's tables by configuration (`corpus`, `queries`, …), each in order.

    Files outside all configurations, and a single file, are of the configuration `default`. A configuration without
    `split` gives its only one.

    Raises:
        UserError: no parquet files, or several splits and none of that name.
    """
    if place.is_file():
        return {"default": [place]}
    found = tables_among(names_in(place), split, place)
    return {configuration: [place / name for name in names] for configuration, names in found.items()}


def fetch_tables(found: Snapshot, split: str) -> Path:
    """The folder of a dataset of the hub, with the files that `find_tables` finds there."""
    return found.fetch(need_of_tables(found, split).names)


def need_of_tables(found: Snapshot, split: str) -> Need:
    tables = tables_among(sorted(found.files), split, found.source.repository)
    return Need(found, [name for names in tables.values() for name in names])


def tables_among(names: Sequence[str], split: str, where: object) -> dict[str, list[str]]:
    by_configuration = parquet_files(names, split)
    if not by_configuration:
        raise UserError(f"{where} contains no parquet files; give a folder with a copy of the dataset.")
    return {name: chosen(splits, split, f"{where}/{name}") for name, splits in by_configuration.items()}


def chosen(splits: Mapping[str | None, list[str]], split: str, where: str) -> list[str]:
    if split in splits:
        return splits[split]
    if len(splits) == 1:
        return next(iter(splits.values()))
    found = ", ".join(name or "one without a name" for name in splits)
    raise UserError(f"{where} has no split {split!r}; name one of {found}.")


def parquet_files(names: Sequence[str], split: str) -> dict[str, BySplit]:
    """The parquet files by configuration and split, in order of their paths."""
    found: dict[str, BySplit] = {}
    for file in sorted((name for name in names if name.endswith(".parquet")), key=lambda name: name.split("/")):
        parts = file.split("/")
        named = [split_named(part, split) for part in parts]
        says = max((place for place, name in enumerate(named) if name), default=None)
        above = [part for place, part in enumerate(parts[:-1]) if place != says]
        configuration = above[-1] if above and above[-1] != "data" else "default"
        name = None if says is None else named[says]
        found.setdefault(configuration, {}).setdefault(name, []).append(file)
    return found


def split_named(part: str, wanted: str) -> str | None:
    """The split that a folder or file is named by: one of the usual ones, or the one that is looked for."""
    first = re.split(r"[-_.]", part)[0]
    stem = PurePosixPath(part).stem if part.endswith((".parquet", *LINES)) else part
    return wanted if stem.partition("-")[0] == wanted else first if first in SPLITS else None
