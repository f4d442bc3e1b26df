"""The evaluation suites of BEiT-3: questions about images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from collotype.evaluation.vqa import METRICS as VQA_METRICS
from collotype.evaluation.vqa import Question
from collotype.families.beit3.data.easy_vqa import read_easy_vqa
from collotype.families.beit3.data.questions import Questions
from collotype.families.beit3.data.tables import read_table
from collotype.families.beit3.data.vqav2 import read_vqav2
from collotype.families.beit3.recipe import Beit3Evaluate
from collotype.families.shared.suites import need_path, require_suite
from collotype.runtime.hub import Need
from collotype.runtime.tables import needs_of, open_table

ANSWERED = "answered"
METRICS = (*VQA_METRICS, ANSWERED)


@dataclass(frozen=True)
class QuestionBenchmark:
    """
    Args:
        name: SUITE/DATASET.
        blank: the images are not shown.
    """

    name: str
    questions: Questions
    blank: bool = False

    @cached_property
    def answered(self) -> np.ndarray:
        """Rows of the questions to which people's answers are known."""
        return np.flatnonzero(self.questions.answer_row >= 0)

    def people(self) -> list[Question]:
        """What people answered, where that is known."""
        return [self.questions.people(int(row)) for row in self.answered]

    @cached_property
    def fingerprint(self) -> str:
        return sha256(f"{self.questions.digest} {self.blank}".encode()).hexdigest()

    def sizes(self) -> dict[str, Any]:
        images = len(np.unique(self.questions.image))
        return {"questions": len(self.questions), "pictures": images, "sha256": self.fingerprint}


def vqav2(choice: Beit3Evaluate) -> Questions:
    return read_vqav2(Path(need_path(choice, "files")), choice.of_split, choice.held_out_file).questions


def table(choice: Beit3Evaluate) -> Questions:
    return read_table(open_table(need_path(choice, "files"), choice.of_split)).questions


def easy_vqa(choice: Beit3Evaluate) -> Questions:
    return read_easy_vqa(choice.of_split).questions


SUITES: dict[str, Callable[[Beit3Evaluate], Questions]] = {"easy-vqa": easy_vqa, "vqav2": vqav2, "vqa": table}
"""Suites by name."""


def find_suite(choice: Beit3Evaluate) -> QuestionBenchmark:
    """
    Raises:
        UserError: no such suite, or its data is not there, or not all images that are asked about.
    """
    require_known(choice)
    questions = SUITES[choice.suite](choice)
    if choice.limit:
        questions = questions.take(np.arange(min(choice.limit, len(questions))))
    if not choice.blank_pictures:
        questions.images.require(np.unique(questions.image).tolist())
    return QuestionBenchmark(f"{choice.suite}/{choice.own_name}", questions, choice.blank_pictures)


def require_known(choice: Beit3Evaluate) -> None:
    require_suite(choice, SUITES, "a BEiT-3")


def suite_needs(choice: Beit3Evaluate) -> list[Need]:
    """What `find_suite` will fetch of the hub, if it will."""
    require_known(choice)
    return needs_of(need_path(choice, "files"), choice.of_split) if choice.suite == "vqa" else []
