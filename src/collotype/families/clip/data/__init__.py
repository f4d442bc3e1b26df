"""What CLIP trains on, pictures with captions, and what it classifies, pictures with labels."""

from pathlib import Path

from collotype.families.clip.data.captions import CaptionSource
from collotype.families.clip.data.labelled import FolderPictures, LabelledPictures, ShardPictures, TablePictures
from collotype.families.clip.data.tables import TableCaptions
from collotype.recipe.clip import CaptionTableSource, ShardSource
from collotype.runtime.shards.names import is_shards
from collotype.runtime.shards.reader import Shards
from collotype.runtime.shards.samples import Layout
from collotype.runtime.tables import open_table

TABLES = (".parquet", ".csv", ".tsv", ".jsonl")


def open_captions(source: ShardSource | CaptionTableSource) -> CaptionSource:
    """Pictures with captions, of a source as in a recipe.

    Raises:
        UserError: it is not there, or not as the source says.
    """
    if isinstance(source, ShardSource):
        return Shards(source.path, Layout.of(source.picture, source.caption))
    table = open_table(source.path, source.split, separator=source.separator)
    return TableCaptions(table, source.image_column, source.caption_column, source.limit)


def open_labelled(path: str, names: str | None = None, split: str | None = None) -> LabelledPictures:
    """Pictures of classes: a folder of class folders, tar shards with `.cls`, a table.

    Args:
        names: a file of class names, or `imagenet`; none: those of the data.
        split: of a table's files; none: test.

    Raises:
        UserError: it is none of these, or labels mean no class.
    """
    place = Path(path)
    if is_shards(path):
        return ShardPictures.open(path, names)
    if place.suffix in TABLES or (place.is_dir() and any(file.suffix in TABLES for file in place.iterdir())):
        return TablePictures(open_table(path, split or "test"), names=names)
    return FolderPictures(place, names)
