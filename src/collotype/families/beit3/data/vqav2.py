"""VQAv2 from the official files.

They are `v2_OpenEnded_mscoco_PART_questions.json` and `v2_mscoco_PART_annotations.json`, in a folder or in `vqa` below
it, beside COCO's folders of images (`val2014/COCO_val2014_000000000042.jpg`). 1,000 images of val2014 are held out,
as ViLT and BEiT-3 do it; which ones nobody said, so ours are drawn from a seed and written down.
"""

import json
import random
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from collotype.families.beit3.data.annotations import Answered, Answers, require_enough
from collotype.families.beit3.data.images import ImageFiles
from collotype.families.beit3.data.questions import Questions, QuestionSource, Row
from collotype.runtime.errors import UserError
from collotype.runtime.files import write_json
from collotype.runtime.json_arrays import JsonArray
from collotype.runtime.seeds import derive_seed

ANNOTATED = ("train2014", "val2014")
PARTS_OF = {"train": ANNOTATED, "val": ("val2014",), "test": ("test2015",), "test-dev": ("test-dev2015",)}
HELD_OUT_OF = "val2014"
HELD_OUT = 1000
"""Pictures."""


def read_vqav2(root: Path, split: str, held_out: Path, seed: int = 0, num_held_out: int = HELD_OUT) -> QuestionSource:
    """The questions of `train` (train2014 and val2014 without the images held out), `val` (theirs), `test` (whose
    answers nobody has) or `test-dev`. A vocabulary is made of all questions of `train`, the held out ones too.

    Args:
        held_out: the file that says which images are held out; if it is not there, it is drawn and written.
        seed, num_held_out: for drawing.

    Raises:
        UserError: a file or folder is missing or not as it should be, or questions and annotations are of different
            parts.
    """
    if split not in PARTS_OF:
        raise UserError(f"VQAv2 has no split {split!r}; choose one of {', '.join(PARTS_OF)}.")
    parts = [SplitFiles(root, name) for name in PARTS_OF[split]]
    most_frequent: Counter[str] = Counter()
    answers = Answers.of(row for part in parts for row in part.annotations(most_frequent))
    names: dict[tuple[str, int], int] = {}
    questions = Questions.pack(
        (row for part in parts for row in part.questions(names)),
        lambda: answers,
        lambda: ImageFiles(root, (f"{folder}/COCO_{folder}_{image:012d}.jpg" for folder, image in names)),
        str(parts[-1].question_file),
    )
    questions = replace(questions, answer_row=np.concatenate(rows_of_answers(parts)))
    if split in ("train", "val"):
        of_pictures = is_held_out(names, held_out, seed, num_held_out)[questions.image]
        questions = questions.take(np.flatnonzero(of_pictures == (split == "val")))
    return QuestionSource(questions, most_frequent)


class SplitFiles:
    """The files of train2014, val2014, test2015 or test-dev2015.

    Raises:
        UserError: one is not there, or the images' folder.
    """

    def __init__(self, root: Path, name: str):
        self.name, self.folder = name, "test2015" if name.startswith("test") else name
        if not (root / self.folder).is_dir():
            raise UserError(f"There is no folder {root / self.folder}; unpack COCO's images of {self.folder} there.")
        self.question_file = find(root, f"v2_OpenEnded_mscoco_{name}_questions.json")
        self.annotation_file = find(root, f"v2_mscoco_{name}_annotations.json") if name in ANNOTATED else None
        self.question_ids, self.annotation_ids = array("q"), array("q")

    def annotations(self, most_frequent: Counter[str]) -> Iterator[Answered]:
        """Counts the most frequent answers on the way.

        Raises:
            UserError: the file is damaged, of another part, or an annotation lacks something.
        """
        for row in self._rows(self.annotation_file, "annotations"):
            try:
                self.annotation_ids.append(row["question_id"])
                most_frequent[need_text(row["multiple_choice_answer"])] += 1
                people = Counter(need_text(each["answer"]) for each in row["answers"])
                answered = Answered(people, row["answer_type"], row["question_type"])
            except UNLIKE as error:
                raise unlike(self.annotation_file, row, error) from error
            require_enough(people.total(), f"{self.annotation_file}, question {row['question_id']},")
            yield answered

    def questions(self, names: dict[tuple[str, int], int]) -> Iterator[Row]:
        """
        Args:
            names: (folder, image id) -> image number; grows.

        Raises:
            UserError: the file is damaged, of another part, or a question lacks something.
        """
        for row in self._rows(self.question_file, "questions"):
            try:
                self.question_ids.append(row["question_id"])
                picture = names.setdefault((self.folder, int(row["image_id"])), len(names))
                asked = Row(row["question_id"], picture, question_of(row["question"]))
            except UNLIKE as error:
                raise unlike(self.question_file, row, error) from error
            yield asked

    def _rows(self, file: Path | None, member: str) -> Iterator[Any]:
        if file is None:
            return
        rows = JsonArray(file, member)
        yield from rows
        said = rows.others.get("data_subtype", self.name)
        if said != self.name:
            raise UserError(f"{file} belongs to {said}, not {self.name}; download it again.")


UNLIKE = (KeyError, TypeError, ValueError, OverflowError)
"""What a row that is not as it should be makes its reader stumble over."""


def need_text(value: Any) -> str:
    """
    Raises:
        TypeError: it is not text.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def question_of(value: Any) -> str:
    """
    Raises:
        TypeError: it is not text.
        ValueError: it is empty.
    """
    if not need_text(value).strip():
        raise ValueError("there is no question")
    return str(value)


def unlike(file: Path | None, row: Any, error: Exception) -> UserError:
    problem = f"{type(error).__name__}: {error}"
    return UserError(
        f"{file} has {str(row)[:60]!r}, which is not in VQAv2's format ({problem}); download the file again."
    )


def find(root: Path, name: str) -> Path:
    """
    Raises:
        UserError: there is no such file.
    """
    for folder in (root, root / "vqa"):
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"There is no {name} in {root} or in {root / 'vqa'}; download it from visualqa.org.")


def rows_of_answers(parts: list[SplitFiles]) -> list[np.ndarray]:
    """For each part the row in `Answers` of each of its questions, int32; -1 where a part has no annotations.

    Raises:
        UserError: annotations are not of the same questions.
    """
    found, start = [], 0
    for part in parts:
        asked, annotated = np.array(part.question_ids), np.array(part.annotation_ids)
        if part.annotation_file is None:
            found.append(np.full(len(asked), -1, np.int32))
            continue
        both = np.intersect1d(asked, annotated)
        if not len(both) == len(asked) == len(annotated):
            raise UserError(
                f"{part.annotation_file} covers {len(both):,} of the {len(asked):,} questions in {part.question_file}, "
                f"and {len(annotated):,} in all; download both files of {part.name} again."
            )
        order = np.argsort(annotated)
        found.append((start + order[np.searchsorted(annotated[order], asked)]).astype(np.int32))
        start += len(annotated)
    return found


def is_held_out(names: dict[tuple[str, int], int], file: Path, seed: int, count: int) -> np.ndarray:
    """Which images are held out, bool, by number; those that `file` lists, or which it lists from now on.

    Raises:
        UserError: the file lists images that val2014 does not have, or cannot be written, or there are not so many.
    """
    there = sorted(image for folder, image in names if folder == HELD_OUT_OF)
    if file.is_file():
        chosen = listed(file)
        if not chosen <= set(there):
            raise UserError(
                f"{file} lists images that have no questions in {HELD_OUT_OF}; correct it, or delete it to have images "
                "drawn at random."
            )
    else:
        if count >= len(there):
            raise UserError(
                f"{HELD_OUT_OF} has only {len(there)} images, too few to hold out {count}; lower num_held_out of the "
                "source, or name a file that lists them (held_out)."
            )
        chosen = set(random.Random(derive_seed(seed, "VQAv2, held out")).sample(there, count))
        try:
            write_json(file, {"what": f"images of {HELD_OUT_OF} held out", "seed": seed, "image_ids": sorted(chosen)})
        except UserError as error:
            raise UserError(
                f"{file}, the list of held-out images, cannot be written; name a file elsewhere with held_out."
            ) from error
    wanted = {(HELD_OUT_OF, image) for image in chosen}
    return np.fromiter((name in wanted for name in names), bool, len(names))


def listed(file: Path) -> set[int]:
    """
    Raises:
        UserError: the file lists no images.
    """
    try:
        if found := set(json.loads(file.read_text())["image_ids"]):
            return found
        reason = "the list is empty"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise UserError(
        f'{file} must list images as {{"image_ids": [42, …]}} ({reason}); correct it, or delete it to have '
        "images drawn at random."
    )
