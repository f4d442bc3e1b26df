"""What BEiT-3 is asked: pictures, questions about them, and what people answered."""

from collections import Counter
from pathlib import Path

from collotype.families.beit3.data.easy_vqa import read_easy_vqa
from collotype.families.beit3.data.index import read_index
from collotype.families.beit3.data.questions import Source
from collotype.families.beit3.data.tables import read_table
from collotype.families.beit3.data.vqav2 import HELD_OUT, read_vqav2
from collotype.recipe.beit3 import Beit3Source, EasyVqaSource, VqaIndexSource, VqaTableSource
from collotype.runtime.tables import open_table

HELD_OUT_FILE = "held-out.json"


def open_source(source: Beit3Source) -> Source:
    """The questions of a source of training data, as in a recipe.

    Raises:
        UserError: it is not there, or not as the source says.
    """
    if isinstance(source, EasyVqaSource):
        return read_easy_vqa("train")
    if isinstance(source, VqaIndexSource):
        return Source(read_index(Path(source.path), "train"), Counter())
    if isinstance(source, VqaTableSource):
        columns = (source.picture_column, source.question_column, source.answer_column, source.id_column)
        return read_table(open_table(source.path, source.split), *columns)
    return open_vqav2(source.path, "train", source.held_out, source.num_held_out)


def open_vqav2(path: str, split: str, held_out: str | None = None, num_held_out: int = HELD_OUT) -> Source:
    """VQAv2 from the official files below `path`.

    Args:
        held_out: as of the recipe's source.
    """
    root = Path(path)
    return read_vqav2(root, split, Path(held_out) if held_out else root / HELD_OUT_FILE, num_held_out=num_held_out)
