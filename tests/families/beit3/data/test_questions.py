"""Packed questions, what a model is trained towards, and examples as a function of (seed, row, epoch)."""

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collotype.evaluation.vqa import soft_score
from collotype.families.beit3.data.annotations import Answered, Answers, Targets
from collotype.families.beit3.data.images import ImageFiles, decoded
from collotype.families.beit3.data.questions import QuestionDataset, Questions, Row
from collotype.families.beit3.transforms import Beit3TrainTransform
from collotype.runtime.errors import UserError
from collotype.training.bad_examples import BadExampleError
from tests.families.beit3.made_vqa import draw

ANSWERS = [
    {"two": 6, "2": 3, "2.": 1},
    {"yes": 9, "no": 1},
    {"unheard of": 10},
    {"no": 10},
]
VOCABULARY = ("2", "yes", "no")


def made(folder: Path, people: Sequence[dict[str, int]] = ANSWERS, images: Sequence[int] | None = None) -> Questions:
    """Question N is about image `images[N]`, N."""
    numbers = list(images or range(len(people)))
    names = [f"{number}.png" for number in range(max(numbers) + 1)]
    for name, colour in zip(names, ("red", "green", "blue", "yellow", "red"), strict=False):
        draw("circle", colour).save(folder / name)
    rows = [Row(10 + row, number, f"Question {row}?", row) for row, number in enumerate(numbers)]
    answers = Answers.of(Answered(counts, "other", "what") for counts in people)
    return Questions.pack(rows, lambda: answers, lambda: ImageFiles(folder, names), "made")


@given(st.lists(st.dictionaries(st.text(max_size=3), st.integers(1, 10), max_size=4), max_size=6))
def test_packed_answers_are_the_answers(rows: list[dict[str, int]]) -> None:
    answers = Answers.of(Answered(row, f"type {len(row)}", "what") for row in rows)
    assert [answers[number] for number in range(len(answers))] == [(row, f"type {len(row)}", "what") for row in rows]


@given(
    rows=st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 10), max_size=4), min_size=1, max_size=6),
    vocabulary=st.permutations("abcd"),
)
def test_targets_are_soft_scores_of_what_is_in_the_vocabulary(rows: list[dict[str, int]], vocabulary: list) -> None:
    targets = Targets(Answers.of(map(Answered, rows)), vocabulary)
    for number, row in enumerate(rows):
        wanted = {vocabulary.index(answer): soft_score(count) for answer, count in row.items() if answer in vocabulary}
        assert dict(zip(*targets.of_row(number), strict=True)) == wanted
        assert targets.there()[number] == bool(wanted)


def test_answers_in_another_spelling_are_lost_as_published_or_merged(tmp_path: Path) -> None:
    questions = made(tmp_path)
    transform = Beit3TrainTransform(8)
    published = QuestionDataset(questions, VOCABULARY, transform, seed=0)
    assert published.targets.of_row(0) == ((0,), (0.9,))
    assert [(fault.cause, fault.count) for fault in published.faults] == [("no answer in the vocabulary", 1)]
    assert published.questions.ids.tolist() == [10, 11, 13]
    merged = QuestionDataset(questions, VOCABULARY, transform, seed=0, merged=True)
    assert merged.targets.of_row(0) == ((0,), (1.0,))
    assert merged.fingerprint() != published.fingerprint()
    with pytest.raises(UserError, match="None of the 4 questions of made has an answer"):
        QuestionDataset(questions, ("cat",), transform, seed=0)
    with pytest.raises(UserError, match="2 answers, but only 1 different"):
        Targets(questions.answers, ("cat", "cat"))


def test_examples_are_a_function_of_seed_row_and_epoch(tmp_path: Path) -> None:
    dataset = QuestionDataset(made(tmp_path), VOCABULARY, Beit3TrainTransform(16), seed=7)
    example, again = dataset.example(1, 1), pickle.loads(pickle.dumps(dataset)).example(1, 1)  # noqa: S301
    assert example.pixels.shape == (3, 16, 16) and example.pixels.dtype is torch.uint8
    assert example.pixels.equal(again.pixels)
    assert (example.id, example.question, example.labels, example.scores) == (11, "Question 1?", (1, 2), (1.0, 0.3))
    other_seed = QuestionDataset(made(tmp_path), VOCABULARY, Beit3TrainTransform(16), seed=8)
    others = [dataset.example(1, 2), other_seed.example(1, 1)]
    assert not any(example.pixels.equal(other.pixels) for other in others)
    assert other_seed.fingerprint() != dataset.fingerprint() == pickle.loads(pickle.dumps(dataset)).fingerprint()  # noqa: S301


def test_questions_of_one_image_share_an_identity(tmp_path: Path) -> None:
    dataset = QuestionDataset(made(tmp_path, ANSWERS[:2], [0, 0]), VOCABULARY, Beit3TrainTransform(8), seed=0)
    first, second = set(dataset.identities(0)), set(dataset.identities(1))
    assert first & second == {("picture", "0.png")} and first != second


def test_a_image_that_cannot_be_decoded_says_where_it_is(tmp_path: Path) -> None:
    questions = made(tmp_path)
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:90])
    with pytest.raises(BadExampleError, match=r"1\.png") as caught:
        decoded(questions.images, 1)
    assert (caught.value.cause, caught.value.place) == ("image cannot be decoded", str(tmp_path))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_questions_are_grouped_by_image_without_loss(pictures: list[int]) -> None:
    rows = [Row(number, image, str(number)) for number, image in enumerate(pictures)]
    empty, files = Answers.of([]), ImageFiles(Path("nowhere"), map(str, range(6)))
    questions = Questions.pack(rows, lambda: empty, lambda: files, "made")
    groups = [(image, found.tolist()) for image, found in questions.by_image()]
    assert [image for image, _ in groups] == list(dict.fromkeys(pictures))
    assert all(found == [row for row, own in enumerate(pictures) if own == image] for image, found in groups)


def test_digests_follow_questions_answers_and_images(tmp_path: Path) -> None:
    questions = made(tmp_path)
    different = [
        questions,
        questions.take(np.array([0, 1])),
        questions.take(np.array([1, 0])),
        made(tmp_path, [*ANSWERS[:3], {"yes": 10}]),
        made(tmp_path, images=[0, 1, 2, 2]),
    ]
    assert len({one.digest for one in different}) == len(different)
    assert made(tmp_path).digest == questions.digest
