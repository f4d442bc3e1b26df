"""BEiT-3's data: images, questions about them, and people's answers."""

from collections import Counter
from pathlib import Path

from collotype.families.beit3.data.easy_vqa import read_easy_vqa
from collotype.families.beit3.data.index import read_index
from collotype.families.beit3.data.questions import QuestionSource
from collotype.families.beit3.data.tables import read_table
from collotype.families.beit3.data.vqav2 import read_vqav2
from collotype.families.beit3.recipe import Beit3Source, EasyVqaSource, VqaIndexSource, VqaTableSource
from collotype.runtime.tables import open_table


def open_source(source: Beit3Source) -> QuestionSource:
    """The questions of a source of training data, as in a recipe.

    Raises:
        UserError: it is not there, or not as the source says.
    """
    if isinstance(source, EasyVqaSource):
        return read_easy_vqa("train")
    if isinstance(source, VqaIndexSource):
        return QuestionSource(read_index(Path(source.path), "train"), Counter())
    if isinstance(source, VqaTableSource):
        columns = (source.picture_column, source.question_column, source.answer_column, source.id_column)
        return read_table(open_table(source.path, source.split), *columns)
    return read_vqav2(Path(source.path), "train", source.held_out_file, num_held_out=source.num_held_out)
