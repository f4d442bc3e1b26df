"""The index files that BEiT-3's own preparation of VQAv2 writes (`vqa.train.jsonl`, `answer2label.txt`, …)."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from collotype.evaluation.vqa import SOFT_SCORES
from collotype.families.beit3.answer_vocab import ANSWERS, read_answers
from collotype.families.beit3.data.annotations import Answered, AnswersWriter
from collotype.families.beit3.data.images import ImageFiles
from collotype.families.beit3.data.questions import Questions, Row
from collotype.runtime.errors import UserError

FILES = {
    "train": ("vqa.train.jsonl", "vqa.trainable_val.jsonl"),
    "val": ("vqa.rest_val.jsonl",),
    "test": ("vqa.test.jsonl",),
    "test-dev": ("vqa.test-dev.jsonl",),
}
COUNT_OF = {score: count for count, score in enumerate(SOFT_SCORES)}


def read_index(root: Path, split: str) -> Questions:
    """The questions of `train`, `val`, `test` or `test-dev`, with what of their answers is in `root`/answer2label.txt;
    in tokens, or in words, if a `text_segment` is a text.

    Raises:
        UserError: a file is missing or a line of it not as upstream writes it, or an image is missing that is asked
            about outside of `train`.
    """
    if split not in FILES:
        raise UserError(f"There are no index files for the split {split!r}; choose one of {', '.join(FILES)}.")
    reader = IndexReader(read_answers(root / ANSWERS))
    questions = Questions.pack(
        reader.rows([root / name for name in FILES[split]]),
        reader.answers.packed,
        lambda: ImageFiles(root, reader.names),
        str(root / FILES[split][-1]),
    )
    questions = replace(questions, in_tokens=bool(reader.in_tokens), whole_answers=False)
    if split != "train":
        questions.images.require(np.unique(questions.image).tolist())
    return questions


class IndexReader:
    """Reads lines, and collects what several of them share."""

    def __init__(self, vocabulary: Sequence[str]):
        self.vocabulary = vocabulary
        self.names: dict[str, int] = {}
        self.answers = AnswersWriter()
        self.in_tokens: bool | None = None

    def rows(self, files: Sequence[Path]) -> Iterator[Row]:
        for file in files:
            try:
                with file.open(encoding="utf-8") as lines:
                    for number, line in enumerate(lines, start=1):
                        yield self.row(json.loads(line), f"{file}, line {number}")
            except (OSError, ValueError) as error:
                raise UserError(f"{file} cannot be read ({error}); generate the index files again.") from error

    def row(self, said: Any, origin: str) -> Row:
        try:
            text, labels, scores = said["text_segment"], said["labels"], said["scores"]
            people = {self.vocabulary[label]: COUNT_OF[score] for label, score in zip(labels, scores, strict=True)}
            question, image = int(said["qid"]), self.names.setdefault(said["image_path"], len(self.names))
            in_tokens = not isinstance(text, str)
            text = " ".join(str(int(token)) for token in text) if in_tokens else text
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(
                f"{origin} does not have upstream's format, or does not belong to this {ANSWERS} "
                f"({type(error).__name__}: {error}); generate the index files again."
            ) from error
        if self.in_tokens not in (None, in_tokens):
            raise UserError(
                f"{origin} is in {('tokens' if in_tokens else 'words')}, but the other index files are not; generate "
                "it again."
            )
        self.in_tokens = in_tokens
        return Row(question, image, text, self.answers.append(Answered(people)) if people else -1)
