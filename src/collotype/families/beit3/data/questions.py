"""Questions about images in packed arrays, about 75 bytes each in addition to their words."""

import random
from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from PIL import Image

from collotype.evaluation.vqa import Question
from collotype.families.beit3.data.annotations import ONLY, Answers, Targets
from collotype.families.beit3.data.images import QuestionImages, decoded
from collotype.runtime.errors import UserError
from collotype.runtime.images import MAX_PIXELS
from collotype.runtime.seeds import derive_seed
from collotype.runtime.shards.samples import Fault
from collotype.runtime.texts import Texts
from collotype.training.overlap import Samples

if TYPE_CHECKING:
    from torch import Tensor

NOT_IN_VOCABULARY = "no answer in the vocabulary"


class Row(NamedTuple):
    """A question as it is read.

    Args:
        text: words, or token ids joined by spaces.
        answers: the row of what people answered; -1: nothing is known.
    """

    id: int
    image: int
    text: str
    answers: int = -1


@dataclass(frozen=True, eq=False)
class Questions:
    """Questions by row; `pack` makes them, `take` chooses among them.

    Args:
        ids: int64 [rows], each once.
        image: int32 [rows], a number of `images`.
        answer_row: int32 [rows], a row of `answers`; -1 where there are none.
        origin: the file they are of, as a user knows it.
        in_tokens: texts are the ids of tokens.
        whole_answers: `answers` are all that people gave; else those in a vocabulary.
    """

    ids: np.ndarray
    image: np.ndarray
    answer_row: np.ndarray
    text_row: np.ndarray
    texts: Texts
    answers: Answers
    images: QuestionImages
    origin: str
    in_tokens: bool = False
    whole_answers: bool = True

    @classmethod
    def pack(
        cls, rows: Iterable[Row], answers: Callable[[], Answers], images: Callable[[], QuestionImages], origin: str
    ) -> "Questions":
        """
        Args:
            answers, images: asked for when the rows have been read.

        Raises:
            UserError: there are none, or an id is too large or there twice.
        """
        ids, picture, answer_row = array("q"), array("i"), array("i")

        def texts() -> Iterator[tuple[str, ...]]:
            for row in rows:
                try:
                    ids.append(row.id)
                except OverflowError:
                    raise UserError(
                        f"{origin} has the question id {row.id}, which does not fit 63 bits; give it a smaller one."
                    ) from None
                picture.append(row.image)
                answer_row.append(row.answers)
                yield (row.text,)

        packed = Texts(texts())
        text_row = np.arange(len(packed), dtype=np.int32)
        found = cls(
            np.array(ids), np.array(picture), np.array(answer_row), text_row, packed, answers(), images(), origin
        )
        found.require_distinct()
        return found

    def require_distinct(self) -> None:
        if not len(self):
            raise UserError(f"{self.origin} contains no questions; give another file.")
        in_order = np.sort(self.ids)
        twice = in_order[1:][in_order[1:] == in_order[:-1]]
        if len(twice):
            raise UserError(
                f"{self.origin} has {len(twice):,} questions whose id occurs twice, {twice[0]} the first; give each "
                "question its own id."
            )

    def __len__(self) -> int:
        return len(self.ids)

    def text(self, row: int) -> str:
        return self.texts[int(self.text_row[row])][0]

    def token_ids(self, row: int) -> tuple[int, ...]:
        """Where questions are in tokens: without start and end."""
        return tuple(map(int, self.text(row).split()))

    def samples(self) -> Samples:
        return Samples(len(self), self.text, lambda row: [decoded(self.images, int(self.image[row]))])

    def take(self, rows: np.ndarray) -> "Questions":
        """The same questions in these rows; texts and answers are shared."""
        chosen = {name: getattr(self, name)[rows] for name in ("ids", "image", "answer_row", "text_row")}
        return replace(self, **chosen)

    def by_image(self) -> Iterator[tuple[int, np.ndarray]]:
        """Images in order of their first question, and the rows of each one's questions."""
        _, first, place = np.unique(self.image, return_index=True, return_inverse=True)
        order = np.argsort(first[place], kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(first[place][order])) + 1):
            yield int(self.image[rows[0]]), rows

    def people(self, row: int) -> Question:
        """What the official accuracy wants to know.

        Raises:
            UserError: there are no answers, or not all that people gave.
        """
        found = int(self.answer_row[row])
        if found < 0 or not self.whole_answers:
            lack = "keeps the answers of a vocabulary only" if found >= 0 else "has no answers"
            raise UserError(
                f"{self.origin} {lack}, but accuracy needs all answers that people gave; evaluate on files with "
                "annotations."
            )
        counts, answer_type, question_type = self.answers[found]
        spread = [answer for answer, count in counts.items() for _ in range(1 if count == ONLY else count)]
        return Question(int(self.ids[row]), spread, answer_type, question_type)

    @property
    def nbytes(self) -> int:
        """In memory, images' names aside."""
        own = sum(part.nbytes for part in (self.ids, self.image, self.answer_row, self.text_row))
        return own + self.texts.nbytes + self.answers.nbytes

    @cached_property
    def digest(self) -> str:
        """Of questions, their order, answers, and images as far as it can be had without reading them."""
        content = sha256(f"{self.texts.digest()} {self.answers.digest()} {self.images.digest()}".encode())
        for part in (self.ids, self.image, self.answer_row, self.text_row):
            content.update(part.tobytes())
        return content.hexdigest()


@dataclass(frozen=True)
class QuestionSource:
    """Questions, and what a vocabulary is made of."""

    questions: Questions
    most_frequent: Counter[str]
    """How many questions each answer is the most frequent of, in order of first occurrence: see `common_answers`."""


class QuestionTransform(Protocol):
    """See `transforms.py`."""

    def __call__(self, image: Image.Image, rng: random.Random) -> "Tensor": ...


@dataclass
class Asked:
    """A question with its image, uint8 [3, S, S], and the answers to be trained towards.

    Args:
        question: words, or token ids without start and end.
    """

    id: int
    pixels: "Tensor"
    question: str | tuple[int, ...]
    labels: tuple[int, ...]
    scores: tuple[float, ...]


class QuestionDataset:
    """The questions that have an answer in the vocabulary, as training examples: a function of (seed, row, epoch). A
    `MapDataset`.

    Args:
        merged: as of `Targets`.
        max_pixels: width x height that an image may have.

    Raises:
        UserError: no question has an answer in the vocabulary.
    """

    def __init__(
        self,
        questions: Questions,
        vocabulary: Sequence[str],
        transform: QuestionTransform,
        seed: int,
        merged: bool = False,
        max_pixels: int = MAX_PIXELS,
    ):
        self.transform, self.seed, self.max_pixels = transform, seed, max_pixels
        self.targets = Targets(questions.answers, vocabulary, merged)
        there = np.append(self.targets.there(), False)[questions.answer_row]
        self.questions = questions.take(np.flatnonzero(there))
        lost = len(questions) - len(self)
        self.faults = [Fault(NOT_IN_VOCABULARY, questions.origin, lost)] if lost else []
        if not len(self):
            raise UserError(
                f"None of the {len(questions):,} questions of {questions.origin} has an answer among the "
                f"{len(vocabulary):,} of the vocabulary; give the list of answers that belongs to this data."
            )
        facts = f"{questions.digest} {list(vocabulary)} {merged} {transform} {seed} {max_pixels}"
        self._fingerprint = sha256(facts.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def left_out(self) -> int:
        """Nothing: that a question's answers are not in the vocabulary is not a fault of the data."""
        return 0

    @property
    def regions(self) -> list[range]:
        """None: images are files, all as near as each other."""
        return []

    def question(self, row: int) -> str | tuple[int, ...]:
        asked = self.questions
        return asked.token_ids(row) if asked.in_tokens else asked.text(row)

    def example(self, row: int, epoch: int) -> Asked:
        """
        Raises:
            BadExampleError: the image is not there, cannot be decoded, or is too large.
        """
        asked = self.questions
        image = decoded(asked.images, int(asked.image[row]), self.max_pixels)
        pixels = self.transform(image, random.Random(derive_seed(self.seed, "augment", row, epoch)))
        targets = self.targets.of_row(int(asked.answer_row[row]))
        return Asked(int(asked.ids[row]), pixels, self.question(row), *targets)

    def identities(self, row: int) -> tuple[Hashable, ...]:
        """The image, and the question as a tokenizer sees it."""
        name = self.questions.images.name(int(self.questions.image[row]))
        return ("picture", name), " ".join(self.questions.text(row).lower().split())

    def fingerprint(self) -> str:
        return self._fingerprint
