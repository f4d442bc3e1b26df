"""Which files of a folder, or of a repository of the hub, make a table."""

import re
from pathlib import Path

from collotype.runtime.errors import UserError
from collotype.runtime.hub import REPOSITORY, fetch

RENAMED = {
    "vidore/colpali_train_set_detailed": "vidore/colpali_train_set",
    "manu/colpali-data-ir": "manu/colpali-queries (with corpus: manu/colpali-corpus)",
    "manu/colpali-data": "manu/colpali-corpus",
}
"""Names in configurations of earlier colpali-engine versions, and where that data is."""
SPLITS = ("train", "test", "validation", "valid", "val", "dev")


def find_table(path: str, split: str, subset: str | None) -> list[Path]:
    """The files of a table, in order: parquet files, or one JSON-lines file.

    Raises:
        UserError: there is nothing at `path` and the hub has no such dataset or cannot be reached; the folder has no
            table, or none of that split.
    """
    if path in RENAMED:
        raise UserError(f"The dataset {path} is now {RENAMED[path]}; set `path` to that name.")
    place = Path(path).expanduser()
    if not place.exists():
        if not REPOSITORY.fullmatch(path) or place.suffix in (".parquet", ".jsonl"):
            hint = "; on the hub it is vidore/colpali_train_set" if place.name == "colpali_train_set" else ""
            raise UserError(f"There is no table {path}{hint}; give a .parquet or .jsonl file, a folder, or a hub name.")
        start = f"{subset}/" if subset else ""
        instead = "put its parquet files into a folder and set `path` to that"
        place = fetch(path, [f"{start}*{split}*.parquet"], "dataset", instead)
    if place.is_file():
        if place.suffix not in (".parquet", ".jsonl"):
            raise UserError(f"{path} is neither .parquet nor .jsonl; write the table in one of these formats.")
        return [place]
    return files_in(place / subset if subset else place, split)


def files_in(folder: Path, split: str) -> list[Path]:
    """`pairs.jsonl`, the parquet files of `split` (`train-00000-of-00082.parquet`, `train/0000.parquet`), or all of
    them, if they are not named by split."""
    if (folder / "pairs.jsonl").is_file():
        return [folder / "pairs.jsonl"]
    files = sorted(folder.rglob("*.parquet"))
    by_split = {file: split_of(file.relative_to(folder)) for file in files}
    chosen = [file for file in files if by_split[file] in (split, None if set(by_split.values()) == {None} else split)]
    if chosen:
        return chosen
    if lines := sorted(folder.glob("*.jsonl")):
        if len(lines) == 1:
            return lines
        raise UserError(f"{folder} holds {len(lines)} .jsonl files; set `path` to one of them.")
    if files:
        found = ", ".join(sorted({name or "of no split" for name in by_split.values()}))
        raise UserError(f"{folder} has no parquet files of the split {split!r}; it has {found}.")
    arrow = " (its .arrow files are of `save_to_disk`; `to_parquet` writes what is read here)"
    arrow = arrow if any(folder.rglob("*.arrow")) else ""
    raise UserError(f"{folder} holds no .parquet and no pairs.jsonl{arrow}; set `path` to a table, or `subset`.")


def split_of(path: Path) -> str | None:
    for part in reversed(path.parts):
        name = re.split(r"[-_.]", part)[0]
        if name in SPLITS:
            return name
    return None
