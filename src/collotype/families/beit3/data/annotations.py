"""People's answers in packed arrays, the answer vocabulary, and the training targets."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from collotype.evaluation.vqa import FEWEST_PEOPLE, normalised, soft_score
from collotype.runtime.errors import UserError
from collotype.runtime.texts import Texts

FEWEST_QUESTIONS = 9
"""How often an answer must be the most frequent one of a question to be in the vocabulary, for ViLT and BEiT-3."""

ONLY = 2**16 - 1
"""The count of an answer where one person was asked: as if all gave it."""


class Answered(NamedTuple):
    """What people answered to a question: each different answer and how many gave it, in order of first occurrence."""

    counts: Mapping[str, int]
    answer_type: str = ""
    question_type: str = ""


def require_enough(people: int, origin: str) -> None:
    """
    Raises:
        UserError: with so few people's answers to a question none could be wholly right.
    """
    if people < FEWEST_PEOPLE:
        raise UserError(
            f"{origin} has {people} people's answers per question, too few for full accuracy; give one answer, or at "
            f"least {FEWEST_PEOPLE}."
        )


class Categories:
    """A name a row, of few different ones: two bytes a row."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._codes = array("H")

    def append(self, name: str) -> None:
        self._codes.append(self._numbers.setdefault(name, len(self._numbers)))

    def packed(self) -> tuple[list[str], np.ndarray]:
        """The names, and each row's number among them."""
        return list(self._numbers), np.array(self._codes)


class AnswersWriter:
    """Collects rows for `Answers`."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._starts, self._which, self._counts = array("I", [0]), array("I"), array("H")
        self._answer_types, self._question_types = Categories(), Categories()

    def append(self, row: Answered) -> int:
        """The number of the row."""
        for answer, count in row.counts.items():
            self._which.append(self._numbers.setdefault(answer, len(self._numbers)))
            self._counts.append(count)
        self._starts.append(len(self._which))
        self._answer_types.append(row.answer_type)
        self._question_types.append(row.question_type)
        return len(self._starts) - 2

    def packed(self) -> "Answers":
        spellings = Texts((answer,) for answer in self._numbers)
        starts, which, counts = (np.array(part) for part in (self._starts, self._which, self._counts))
        return Answers(spellings, starts, which, counts, *self._answer_types.packed(), *self._question_types.packed())


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers by row. The spelling of an answer is kept once; beside it a row takes 8 bytes, and 6 for each different
    answer.

    Args:
        spellings: every different answer, by number.
        starts, which, counts: a row's numbers of spellings and how many people gave each are which[a:b] and counts[a:b]
            with a, b = starts[row : row + 2].
        answer_types, question_types: names, of which each row's number is in the array that follows.
    """

    spellings: Texts
    starts: np.ndarray
    which: np.ndarray
    counts: np.ndarray
    answer_types: list[str]
    answer_type: np.ndarray
    question_types: list[str]
    question_type: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[Answered]) -> "Answers":
        writer = AnswersWriter()
        for row in rows:
            writer.append(row)
        return writer.packed()

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> Answered:
        which, counts = self.row(row)
        spelled = {self.spellings[number][0]: int(count) for number, count in zip(which, counts, strict=True)}
        types = self.answer_types[self.answer_type[row]], self.question_types[self.question_type[row]]
        return Answered(spelled, *types)

    def row(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of spellings, and how many people gave each."""
        here = slice(*self.starts[row : row + 2].tolist())
        return self.which[here], self.counts[here]

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.starts, self.which, self.counts, self.answer_type, self.question_type

    @property
    def nbytes(self) -> int:
        return self.spellings.nbytes + sum(part.nbytes for part in self._arrays())

    def digest(self) -> str:
        content = sha256(f"{self.spellings.digest()} {self.answer_types} {self.question_types}".encode())
        for part in self._arrays():
            content.update(part.tobytes())
        return content.hexdigest()


class Targets:
    """What a model is trained towards: the labels of a row's answers in a vocabulary, and their soft scores.

    Args:
        merged: answers are normalised, and counted together where they become the same. As published they are not: what
            people spelled otherwise than in normal form (`two`, for which the vocabulary has `2`) is lost.

    Raises:
        UserError: an answer is twice in the vocabulary.
    """

    def __init__(self, answers: Answers, vocabulary: Sequence[str], merged: bool = False):
        labels = {answer: label for label, answer in enumerate(vocabulary)}
        if len(labels) < len(vocabulary):
            raise UserError(
                f"The vocabulary has {len(vocabulary)} answers, but only {len(labels)} different ones; generate it "
                "again."
            )
        spelled = (answers.spellings[number][0] for number in range(len(answers.spellings)))
        found = (labels.get(normalised(answer) if merged else answer, -1) for answer in spelled)
        self.answers = answers
        self._label = np.fromiter(found, np.int32, len(answers.spellings))

    def of_row(self, row: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Labels and scores, in order of first occurrence."""
        which, counts = self.answers.row(row)
        people: Counter[int] = Counter()
        for label, count in zip(self._label[which].tolist(), counts.tolist(), strict=True):
            if label >= 0:
                people[label] += count
        return tuple(people), tuple(soft_score(count) for count in people.values())

    def there(self) -> np.ndarray:
        """Which rows have a label: bool [rows]."""
        known = np.concatenate([[0], np.cumsum(self._label[self.answers.which] >= 0)])
        there: np.ndarray = np.diff(known[self.answers.starts]) > 0
        return there


def common_answers(most_frequent: Mapping[str, int], at_least: int = FEWEST_QUESTIONS) -> tuple[str, ...]:
    """A vocabulary as ViLT and BEiT-3 make it: the answers in normal form, in order of first occurrence.

    Args:
        most_frequent: how many questions have this as their most frequent answer, in order of first occurrence.

    Raises:
        UserError: no answer is frequent enough.
    """
    counts: Counter[str] = Counter()
    for answer, count in most_frequent.items():
        counts[normalised(answer)] += count
    frequent = tuple(answer for answer, count in counts.items() if count >= at_least)
    if not frequent:
        raise UserError(
            f"None of {len(counts)} different answers occurs in {at_least} questions; lower that number, or give the "
            "list of answers."
        )
    return frequent
