"""The official files, and upstream's index files: questions, answers, splits, vocabulary, and what can be wrong."""

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from collotype.evaluation.vqa import vqa_scores
from collotype.families.beit3.answer_vocab import ANSWERS, write_answers
from collotype.families.beit3.benchmarks import find_suite
from collotype.families.beit3.data.annotations import common_answers
from collotype.families.beit3.data.index import read_index
from collotype.families.beit3.data.questions import QuestionDataset, QuestionSource
from collotype.families.beit3.data.vqav2 import read_vqav2
from collotype.families.beit3.transforms import squashed
from collotype.recipe.load import load_evaluation
from collotype.runtime.errors import UserError
from collotype.training.bad_examples import BadExampleError
from tests.families.beit3.made_vqa import write, write_vqav2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_vqav2(tmp_path / "data")


def read(root: Path, split: str, **settings) -> QuestionSource:
    return read_vqav2(root, split, root.parent / "held-out.json", **{"num_held_out": 4, **settings})


def official(root: Path, name: str) -> list[dict]:
    member = "annotations" if name.endswith("annotations") else "questions"
    return json.loads((root / "vqa" / f"{name}.json").read_text())[member]


def test_every_question_keeps_its_image_its_words_and_its_ten_answers(root: Path) -> None:
    found = {split: read(root, split).questions for split in ("train", "val", "test", "test-dev")}
    assert [len(questions) for questions in found.values()] == [48 + 32, 16, 48, 24]
    for split, parts in (("train", ("train2014", "val2014")), ("val", ("val2014",)), ("test", ("test2015",))):
        questions = found[split]
        rows = {int(number): row for row, number in enumerate(questions.ids)}
        for part in parts:
            for asked in official(root, f"v2_OpenEnded_mscoco_{part}_questions"):
                row = rows.pop(asked["question_id"], None)
                if row is not None:
                    assert questions.text(row) == asked["question"]
                    name = questions.images.name(int(questions.image[row]))
                    assert name == f"{part}/COCO_{part}_{asked['image_id']:012d}.jpg"
        assert not rows
    annotations = {row["question_id"]: row for row in official(root, "v2_mscoco_val2014_annotations")}
    for row, number in enumerate(found["val"].ids):
        said, wanted = found["val"].people(row), annotations[number]
        assert said[:1] + said[2:] == (number, wanted["answer_type"], wanted["question_type"])
        assert Counter(said.answers) == Counter(each["answer"] for each in wanted["answers"])


def test_the_same_images_are_held_out_wherever_the_file_is(root: Path) -> None:
    images = {}
    for split in ("train", "val"):
        questions = read(root, split).questions
        images[split] = {questions.images.name(number) for number in np.unique(questions.image).tolist()}
    assert not images["train"] & images["val"] and len(images["train"] | images["val"]) == 24
    listed = json.loads((root.parent / "held-out.json").read_text())["image_ids"]
    assert {f"val2014/COCO_val2014_{number:012d}.jpg" for number in listed} == images["val"]
    # the file decides, not the seed
    assert read(root, "val", seed=5, num_held_out=7).questions.digest == read(root, "val").questions.digest
    (root.parent / "held-out.json").unlink()
    assert read(root, "val", seed=5).questions.digest != read_vqav2(root, "val", root / "a.json", 6, 4).questions.digest
    for content, told in (
        ('{"image_ids": [1]}', "lists images that have no questions in val2014"),
        ('{"image_ids": []}', "must list images as .*the list is empty"),
        ('{"image_ids": [{}]}', "must list images as .*TypeError"),
        ("[1]", "must list images as .*TypeError"),
        ("{", "must list images as .*JSONDecodeError"),
    ):
        (root.parent / "held-out.json").write_text(content)
        with pytest.raises(UserError, match=rf"held-out\.json {told}"):
            read(root, "val")
    with pytest.raises(UserError, match=r"below\.json, the list of held-out images, cannot be written"):
        read_vqav2(root, "val", root.parent / "held-out.json" / "below.json", num_held_out=4)
    with pytest.raises(UserError, match="val2014 has only 12 images, too few to hold out 1000"):
        read_vqav2(root, "train", root / "none.json")


def test_the_vocabulary_is_upstreams(root: Path) -> None:
    most_frequent = read(root, "train").most_frequent
    words = [
        row["multiple_choice_answer"]
        for part in ("train2014", "val2014")
        for row in official(root, f"v2_mscoco_{part}_annotations")
    ]
    wanted = [word for word, count in Counter(words).items() if count >= 7]
    assert common_answers(most_frequent, at_least=7) == tuple(wanted)
    assert common_answers({"Two": 4, "rare": 8, "t-shirt": 9, "2": 5, "2.": 1}) == ("2", "t shirt")
    with pytest.raises(UserError, match="None of 1 different answers occurs in 9"):
        common_answers({"cat": 8})


def test_reading_does_not_depend_on_the_order_of_annotations(root: Path) -> None:
    before = read(root, "val").questions
    rows = official(root, "v2_mscoco_val2014_annotations")
    random.Random(1).shuffle(rows)
    write(root / "vqa" / "v2_mscoco_val2014_annotations.json", "val2014", annotations=rows)
    after = read(root, "val").questions
    assert [after.people(row) for row in range(16)] == [before.people(row) for row in range(16)]


def test_no_question_is_lost_for_its_answers(root: Path) -> None:
    questions = read(root, "val").questions
    scores = vqa_scores(map(questions.people, range(len(questions))), {int(questions.ids[0]): "1"})
    assert scores.questions == 16 and len(scores.unanswered) == 15
    with pytest.raises(UserError, match="has no answers"):
        read(root, "test").questions.people(0)


def test_files_that_do_not_belong_together(root: Path) -> None:
    files = root / "vqa"
    rows = official(root, "v2_mscoco_val2014_annotations")
    write(files / "v2_mscoco_val2014_annotations.json", "train2014", annotations=rows)
    with pytest.raises(UserError, match="belongs to train2014, not val2014"):
        read(root, "val")
    write(files / "v2_mscoco_val2014_annotations.json", "val2014", annotations=rows[:-3])
    with pytest.raises(UserError, match="covers 45 of the 48 questions"):
        read(root, "val")
    write(files / "v2_mscoco_val2014_annotations.json", "val2014", annotations=[{"question_id": 1}])
    with pytest.raises(UserError, match="KeyError: 'multiple_choice_answer'"):
        read(root, "val")
    few = [{**rows[0], "answers": rows[0]["answers"][:2]}, *rows[1:]]
    write(files / "v2_mscoco_val2014_annotations.json", "val2014", annotations=few)
    with pytest.raises(
        UserError, match=f"question {rows[0]['question_id']}, has 2 people's answers per question, too few"
    ):
        read(root, "val")
    (files / "v2_mscoco_val2014_annotations.json").unlink()
    with pytest.raises(UserError, match=r"no v2_mscoco_val2014_annotations\.json in"):
        read(root, "val")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"question": None}, "TypeError: None is not text"),
        ({"question": " "}, "ValueError: there is no question"),
        ({"question_id": 10**30}, "OverflowError"),
        ({"question_id": "7"}, "TypeError"),
        ({"image_id": None}, "TypeError"),
    ],
)
def test_a_question_that_is_none(wrong: dict, told: str, root: Path) -> None:
    name = "v2_OpenEnded_mscoco_test2015_questions"
    rows = official(root, name)
    write(root / "vqa" / f"{name}.json", "test2015", questions=[*rows[:5], {**rows[5], **wrong}, *rows[6:]])
    with pytest.raises(UserError, match=f"which is not in VQAv2's format .*{told}.*; download the file again"):
        read(root, "test")


def test_a_question_id_is_there_once(root: Path) -> None:
    name = "v2_OpenEnded_mscoco_test2015_questions"
    rows = official(root, name)
    write(root / "vqa" / f"{name}.json", "test2015", questions=[*rows, rows[3]])
    with pytest.raises(UserError, match="1 questions whose id occurs twice, 3000003 the first"):
        read(root, "test")


def test_images_that_are_missing(root: Path) -> None:
    for number in (3000, 3001, 3002, 3003):
        (root / "test2015" / f"COCO_test2015_{number:012d}.jpg").unlink()
    asked = {"suite": "vqav2", "path": root, "split": "test"}
    with pytest.raises(UserError, match=r"4 images that questions refer to are missing \(.*003000\.jpg, .*, …\)"):
        find_suite(load_evaluation("beit3", **asked))
    assert len(find_suite(load_evaluation("beit3", **asked, blank_pictures=True)).questions) == 48
    (root / "train2014" / f"COCO_train2014_{1000:012d}.jpg").unlink()
    train = read(root, "train")
    dataset = QuestionDataset(train.questions, ("1", "yes", "no"), lambda image, rng: squashed(image, 8), seed=0)
    with pytest.raises(BadExampleError) as caught:
        dataset.example(0, 0)
    assert (caught.value.cause, caught.value.place) == ("image file cannot be read", str(root / "train2014"))
    (root / "val2014").rename(root / "elsewhere")
    with pytest.raises(UserError, match=r"no folder .*val2014; unpack COCO's images"):
        read(root, "train")


INDEX = {
    "image_path": "val2014/COCO_val2014_000000002000.jpg",
    "text_segment": [7, 12],
    "labels": [1, 0],
    "scores": [0.6, 1.0],
    "qid": 100,
}


def write_index(root: Path, name: str, *rows: dict) -> None:
    (root / name).write_text("".join(json.dumps({**INDEX, **row}) + "\n" for row in rows))


def test_upstreams_index_files(root: Path) -> None:
    write_answers(["yes", "no"], root / ANSWERS)
    write_index(root, "vqa.train.jsonl", {}, {"qid": 101, "text_segment": [3]})
    write_index(root, "vqa.trainable_val.jsonl", {"qid": 102, "labels": [0], "scores": [0.3]})
    write_index(root, "vqa.test.jsonl", {"labels": [], "scores": []})
    train = read_index(root, "train")
    assert train.ids.tolist() == [100, 101, 102] and train.token_ids(0) == (7, 12) and train.token_ids(1) == (3,)
    dataset = QuestionDataset(train, ("yes", "no"), lambda image, rng: squashed(image, 8), seed=0)
    example = dataset.example(0, 0)
    assert (example.question, example.labels, example.scores) == ((7, 12), (1, 0), (0.6, 1.0))
    assert dataset.example(2, 0).scores == (0.3,)
    assert read_index(root, "test").ids.tolist() == [100]
    with pytest.raises(UserError, match="keeps the answers of a vocabulary only"):
        train.people(0)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            {"labels": [2, 0]},
            "does not have upstream's format, or does not belong to this answer2label.txt .IndexError",
        ),
        ({"scores": [0.5, 1.0]}, "KeyError: 0.5"),
        ({"scores": [1.0]}, "ValueError"),
        ({"text_segment": "what?"}, "line 2 is in words, but the other index files are not"),
        ({"image_path": "val2014/gone.jpg"}, r"1 images .*gone\.jpg"),
        ({"qid": 100}, "100 the first"),
    ],
)
def test_index_files_that_are_wrong(root: Path, wrong: dict, told: str) -> None:
    write_answers(["yes", "no"], root / ANSWERS)
    write_index(root, "vqa.rest_val.jsonl", {}, {"qid": 101, **wrong})
    with pytest.raises(UserError, match=told):
        read_index(root, "val")


def test_index_files_with_words(root: Path) -> None:
    write_answers(["yes", "no"], root / ANSWERS)
    write_index(root, "vqa.rest_val.jsonl", {"text_segment": "What is it?"})
    questions = read_index(root, "val")
    assert questions.text(0) == "What is it?" and not questions.in_tokens
