"""easy-VQA (Victor Zhou, MIT licence): 48,248 questions of 13 answers about 5,000 small images of a shape."""

import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from collotype.families.beit3.data.annotations import ONLY, Answered, Answers
from collotype.families.beit3.data.images import ImageFiles
from collotype.families.beit3.data.questions import Questions, QuestionSource, Row
from collotype.runtime.errors import UserError

PACKAGE = "easy_vqa"
SPLITS = ("train", "test")
YES_OR_NO = ("yes", "no")


def data_folder() -> Path:
    """Of the installed package, which is not imported.

    Raises:
        UserError: it is not installed.
    """
    spec = find_spec(PACKAGE)
    for place in (spec and spec.submodule_search_locations) or ():
        if (Path(place) / "data").is_dir():
            return Path(place) / "data"
    raise UserError(
        "The images and questions of easy-VQA are not installed; install them with pip install 'collotype[desk]'."
    )


def read_easy_vqa(split: str) -> QuestionSource:
    """The questions of `train` (38,575 about 4,000 images) or `test` (9,673 about 1,000).

    Raises:
        UserError: no such split, or the package is not installed or damaged.
    """
    if split not in SPLITS:
        raise UserError(f"easy-VQA has no split {split!r}; choose one of {', '.join(SPLITS)}.")
    folder = data_folder() / split
    try:
        asked = json.loads((folder / "questions.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'questions.json'} cannot be read ({error}); install {PACKAGE} again.") from error
    answers = Answers.of(
        Answered({answer: ONLY}, "yes/no" if answer in YES_OR_NO else "other") for _, answer, _ in asked
    )
    numbers: dict[int, int] = {}
    questions = Questions.pack(
        (Row(row, numbers.setdefault(image, len(numbers)), text, row) for row, (text, _, image) in enumerate(asked)),
        lambda: answers,
        lambda: ImageFiles(folder / "images", (f"{image}.png" for image in numbers)),
        str(folder / "questions.json"),
    )
    return QuestionSource(questions, Counter(answer for _, answer, _ in asked))
