"""CLIP's data: images with captions for training, images with labels for classification."""

from pathlib import Path

from collotype.families.clip.data.captions import CaptionSource
from collotype.families.clip.data.classes import IMAGENET
from collotype.families.clip.data.labelled import FolderImages, LabelledImages, LabelledTableImages, ShardImages
from collotype.families.clip.data.tables import TableCaptions
from collotype.families.clip.recipe import CaptionTableSource, ShardSource
from collotype.runtime.hub import Need, parse
from collotype.runtime.shards.names import is_shards
from collotype.runtime.shards.reader import Shards
from collotype.runtime.shards.samples import SampleLayout
from collotype.runtime.tables import needs_of, open_table

TABLES = (".parquet", ".csv", ".tsv", ".jsonl")


def open_captions(source: ShardSource | CaptionTableSource) -> CaptionSource:
    """Images with captions, of a source as in a recipe.

    Raises:
        UserError: it is not there, or not as the source says.
    """
    if isinstance(source, ShardSource):
        return Shards(source.path, SampleLayout.of(source.picture, source.caption))
    table = open_table(source.path, source.split, separator=source.separator)
    return TableCaptions(table, source.image_column, source.caption_column, source.limit)


def source_needs(source: ShardSource | CaptionTableSource) -> list[Need]:
    """What `open_captions` will fetch of the hub whole, if it will; shards come one at a time."""
    return [] if isinstance(source, ShardSource) else needs_of(source.path, source.split)


def open_labelled(path: str, names: str | None = None, split: str | None = None) -> LabelledImages:
    """Images of classes: a folder of class folders, tar shards with `.cls`, a table.

    Args:
        names: a file of class names, or `imagenet`; None: those of the data.
        split: of a table's files; None: test.

    Raises:
        UserError: it is none of these, or labels mean no class.
    """
    place = Path(path)
    if is_shards(path):
        return ShardImages.open(path, names)
    if is_table(path) or (names != IMAGENET and is_on_hub(path)):
        return LabelledTableImages(open_table(path, split or "test"), names=names)
    return FolderImages(place, names)


def is_table(path: str) -> bool:
    """Is this a table, or a folder with one?"""
    place = Path(path)
    return place.suffix in TABLES or (place.is_dir() and any(file.suffix in TABLES for file in place.iterdir()))


def is_on_hub(path: str) -> bool:
    """Is this the name of a dataset, and of nothing here?"""
    return not is_shards(path) and not Path(path).exists() and parse(path, "dataset") is not None
