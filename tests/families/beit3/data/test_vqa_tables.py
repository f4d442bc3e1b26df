"""Questions in tables as people and the hub have them, and easy-VQA."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collotype.evaluation.vqa import vqa_scores
from collotype.families.beit3.benchmarks import find_suite
from collotype.families.beit3.data.annotations import common_answers
from collotype.families.beit3.data.easy_vqa import data_folder, read_easy_vqa
from collotype.families.beit3.data.images import decoded
from collotype.families.beit3.data.questions import QuestionDataset, QuestionSource
from collotype.families.beit3.data.tables import read_table
from collotype.families.beit3.transforms import squashed
from collotype.recipe.load import load_evaluation
from collotype.runtime.errors import UserError
from collotype.runtime.tables import open_table
from collotype.training.bad_examples import BadExampleError
from tests.families.beit3.made_vqa import draw


def lines(folder: Path, *rows: dict, **settings) -> QuestionSource:
    for name in ("a.png", "b.png"):
        draw("circle", "red").save(folder / name)
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_table(open_table(str(folder / "table.jsonl")), **settings)


def as_png(colour: str) -> bytes:
    content = io.BytesIO()
    draw("square", colour).save(content, "PNG")
    return content.getvalue()


ASKED = {"image": "a.png", "question": "What is it?"}


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        (["red"] * 6 + ["dark red"] * 4, ["red"] * 6 + ["dark red"] * 4),
        ([{"answer": "red", "answer_id": 1}] * 10, ["red"] * 10),
        ("red", ["red"]),
        (["red"], ["red"]),
        (3, ["3"]),
        ({"red": 3, "dark red": 1}, ["red"] * 3 + ["dark red"]),
        ('["red", "red", "red", "dark red"]', ["red"] * 3 + ["dark red"]),
        ('{"red": 4}', ["red"] * 4),
    ],
)
def test_answers_of_every_form(tmp_path: Path, cell: object, wanted: list[str]) -> None:
    questions = lines(tmp_path, {**ASKED, "answers": cell}).questions
    assert questions.people(0).answers == wanted


def test_json_lines_with_all_that_helps(tmp_path: Path) -> None:
    rows = [
        {"path": "a.png", "query": "Red?", "answer": "yes", "qid": 7, "answer_type": "yes/no", "question_type": "is"},
        {"path": "b.png", "query": "What?", "answer": "circle", "qid": "9"},
        {"path": "a.png", "query": "Blue?", "answer": "no", "qid": 8, "answer_type": "yes/no"},
        {"path": "a.png", "query": "Round?", "qid": 6},
    ]
    source = lines(tmp_path, *rows)
    questions = source.questions
    assert questions.ids.tolist() == [7, 9, 8, 6] and questions.image.tolist() == [0, 1, 0, 0]
    assert questions.people(0) == (7, ["yes"], "yes/no", "is") and questions.people(1) == (9, ["circle"], "", "")
    assert common_answers(source.most_frequent, 1) == ("yes", "circle", "no")
    dataset = QuestionDataset(questions, ("no", "yes"), lambda image, rng: squashed(image, 8), seed=0)
    example = dataset.example(0, 0)
    assert (example.labels, example.scores) == ((1,), (1.0,)), "a single person stands for all"
    assert example.pixels.equal(squashed(draw("circle", "red"), 8))
    assert [fault.count for fault in dataset.faults] == [2]
    with pytest.raises(UserError, match="has no answers"):
        questions.people(3)


def test_the_most_frequent_answer_makes_the_vocabulary_the_first_of_equals(tmp_path: Path) -> None:
    rows = [{**ASKED, "answers": answers} for answers in (["a cat", "dog", "dog", "a cat"], ["Two"] * 3 + ["2"] * 7)]
    source = lines(tmp_path, *rows)
    assert common_answers(source.most_frequent, 1) == ("cat", "2")


def test_a_csv_file(tmp_path: Path) -> None:
    draw("circle", "red").save(tmp_path / "a.png")
    with (tmp_path / "table.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerows([["image", "question", "answers"], ["a.png", "What, then?", '["red", "red", "red", "blue"]']])
        writer.writerow(["a.png", "Which colour?", "red"])
    questions = read_table(open_table(str(tmp_path / "table.csv"))).questions
    assert questions.text(0) == "What, then?" and questions.ids.tolist() == [0, 1]
    assert [questions.people(row).answers for row in range(2)] == [["red", "red", "red", "blue"], ["red"]]


def test_parquet_as_the_hub_has_vqav2(tmp_path: Path) -> None:
    colours = ["red", "blue", "red"]
    table = {
        "image": [{"bytes": as_png(colour), "path": None} for colour in colours],
        "image_id": [5, 6, 5],
        "question_id": [50, 60, 51],
        "question": ["What colour?"] * 3,
        "answers": [[{"answer": colour, "answer_confidence": "yes"}] * 10 for colour in colours],
        "answer_type": ["other"] * 3,
    }
    for part in range(2):
        rows = slice(part * 2, part * 2 + 2)
        chosen = pa.table({name: values[rows] for name, values in table.items()})
        pq.write_table(chosen, tmp_path / f"train-0000{part}-of-00002.parquet", row_group_size=1)
    questions = read_table(open_table(str(tmp_path))).questions
    assert questions.image.tolist() == [0, 1, 0] and len(questions.images) == 2
    assert decoded(questions.images, 1).tobytes() == draw("square", "blue").tobytes()
    scores = vqa_scores(map(questions.people, range(3)), {50: "red", 51: "blue", 60: "Blue."})
    assert scores.metrics == pytest.approx({"vqa_accuracy": 2 / 3, "vqa_accuracy_other": 2 / 3})


def test_parquet_maps_and_structs_of_counts(tmp_path: Path) -> None:
    for kind in (pa.map_(pa.string(), pa.int64()), None):
        cells = pa.array([{"red": 3, "blue": 1}, {"green": 4}], kind)
        names = pa.array(["a.png", "a.png"])
        pq.write_table(pa.table({"image": names, "question": names, "answers": cells}), tmp_path / "train.parquet")
        questions = read_table(open_table(str(tmp_path / "train.parquet"))).questions
        counts = [dict(questions.answers[row].counts) for row in range(2)]
        assert [{answer: counts[row][answer] for answer in sorted(counts[row])} for row in range(2)] == [
            {"blue": 1, "red": 3},
            {"green": 4},
        ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"question": " "}, "line 1, column question is ' '"),
        ({"image": None}, "line 1, column image is empty"),
        ({"answers": ["red", "blue"]}, "line 1 has 2 people's answers"),
        ({"answers": [True]}, "not a text, a list of them, or {answer: count}"),
        ({"answers": "[red"}, "not a text, a list"),
        ({"answers": {"red": "many"}}, "not a text, a list"),
        ({"id": 10**30}, "question id 10+, which does not fit 63 bits"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path: Path, row: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        lines(tmp_path, {**ASKED, "answers": "red", **row})


def test_columns_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column 'question' or 'query'"):
        lines(tmp_path, {"image": "a.png"})
    with pytest.raises(UserError, match=r"column name is 'first' .*whole number"):
        lines(tmp_path, {**ASKED, "name": "first"}, id_column="name")
    with pytest.raises(UserError, match="1 questions whose id occurs twice, 4 the first"):
        lines(tmp_path, {**ASKED, "id": 4}, {**ASKED, "id": 4})
    assert lines(tmp_path, {**ASKED, "id": "q1"}).questions.ids.tolist() == [0]


def test_a_image_that_a_table_names_may_be_missing(tmp_path: Path) -> None:
    questions = lines(tmp_path, {**ASKED, "image": "gone.png", "answer": "yes"}).questions
    with pytest.raises(BadExampleError, match=r"gone\.png"):
        decoded(questions.images, 0)
    with pytest.raises(UserError, match=r"1 images .*gone\.png"):
        questions.images.require([0])


def test_images_that_are_missing_are_told_before_an_evaluation(tmp_path: Path) -> None:
    lines(tmp_path, ASKED, {**ASKED, "image": "gone.png"})
    asked = {"suite": "vqa", "path": tmp_path / "table.jsonl"}
    with pytest.raises(UserError, match=r"1 images that questions refer to are missing \(.*gone\.png\)"):
        find_suite(load_evaluation("beit3", **asked))
    assert len(find_suite(load_evaluation("beit3", **asked, limit=1)).questions) == 1


def test_easy_vqa_is_whole() -> None:
    train, test = read_easy_vqa("train"), read_easy_vqa("test")
    assert (len(train.questions), len(test.questions)) == (38_575, 9_673)
    assert (len(train.questions.images), len(test.questions.images)) == (4_000, 1_000)
    listed = (data_folder() / "answers.txt").read_text().split()
    assert sorted(common_answers(train.most_frequent)) == sorted(common_answers(test.most_frequent)) == sorted(listed)
    kinds = test.questions.answers
    assert int((kinds.answer_type == kinds.answer_types.index("yes/no")).sum()) == 7_136
    assert (
        test.questions.people(0) == (0, ["triangle"], "other", "")
        and test.questions.text(0) == "what is the red shape?"
    )
    test.questions.images.require(np.unique(test.questions.image).tolist())
    assert decoded(test.questions.images, 0).size == (64, 64)
    with pytest.raises(UserError, match="no split 'val'"):
        read_easy_vqa("val")


def test_easy_vqa_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collotype.families.beit3.data.easy_vqa.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'collotype\[desk\]'"):
        read_easy_vqa("test")
