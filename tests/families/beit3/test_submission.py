"""Submissions as EvalAI takes them, and answers that outlast a kill."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collotype.families.beit3.submission import AnswerStore, read_submission, submission_name, write_submission
from collotype.runtime.errors import UserError

SUBMISSION = submission_name("vqav2/test")
KEY = {"model": "a", "questions": "b"}


def test_a_submission_is_in_the_published_form(tmp_path: Path) -> None:
    file = tmp_path / SUBMISSION
    write_submission(file, [30, 10, 20], {10: "yes", 20: "café", 30: "2"})
    wanted = [{"question_id": 30, "answer": "2"}, {"question_id": 10, "answer": "yes"}]
    assert json.loads(file.read_text()) == [*wanted, {"question_id": 20, "answer": "café"}]
    first = '[\n  {\n    "question_id": 30,\n    "answer": "2"\n  },\n'
    assert file.read_text().startswith(first) and file.read_bytes().isascii()
    assert read_submission(file, [10, 20, 30]) == {10: "yes", 20: "café", 30: "2"}


@given(st.dictionaries(st.integers(0, 2**40), st.text(max_size=5), max_size=6))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, answers: dict[int, str]) -> None:
    file = tmp_path_factory.mktemp("written") / SUBMISSION
    write_submission(file, list(answers), answers)
    assert read_submission(file, sorted(answers)) == answers


def test_an_incomplete_submission_has_another_name(tmp_path: Path) -> None:
    file, partial = tmp_path / SUBMISSION, tmp_path / "submit_vqav2_test.partial.json"
    with pytest.raises(UserError, match=r"7 missing: 3, 4, 5, 6, 7, …\); .*submit_vqav2_test\.partial\.json"):
        write_submission(file, range(10), {0: "a", 1: "b", 2: "c"})
    assert not file.exists() and [one["question_id"] for one in json.loads(partial.read_text())] == [0, 1, 2]
    with pytest.raises(UserError, match=r"1 unknown: 99"):
        write_submission(file, range(2), {0: "a", 1: "b", 99: "c"})
    write_submission(file, range(2), {0: "a", 1: "b"})
    assert file.exists() and not partial.exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([{"question_id": 1, "answer": "a"}], "1 missing: 2"),
        ([{"question_id": n, "answer": "a"} for n in (1, 2, 3)], "1 unknown: 3"),
        ([{"question_id": n, "answer": "a"} for n in (1, 2, 2)], "1 there twice: 2"),
        ([{"question_id": "1", "answer": "a"}], "not an integer"),
        ([{"question_id": 1, "answer": 2}], "not text"),
        ([{"question": 1}], "is not a submission .KeyError"),
        ({"answers": []}, "is not a submission"),
        (3, "is not a submission"),
    ],
)
def test_submissions_that_do_not_fit_are_refused(tmp_path: Path, content: object, told: str) -> None:
    file = tmp_path / SUBMISSION
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=told):
        read_submission(file, [1, 2])
    with pytest.raises(UserError, match="is not a submission"):
        read_submission(tmp_path / "none.json", [1])


def test_several_processes_answers_are_merged_once(tmp_path: Path) -> None:
    first, second = (AnswerStore(tmp_path / "answers", KEY) for _ in range(2))
    first.append({1: "yes", 2: "no"})
    second.append({3: "2\n3", 2: "no"})
    first.append({4: "café"})
    again = AnswerStore(tmp_path / "answers", KEY)
    assert again.read() == first.read() == {1: "yes", 2: "no", 3: "2\n3", 4: "café"}


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "answers", KEY)
    store.append({1: "yes"})
    store.append({2: "no", 3: "maybe"})
    (file,) = (tmp_path / "answers").glob("part-*")
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        found = AnswerStore(tmp_path / "answers", KEY).read()
        assert found in ({}, {1: "yes"}) and (found or length <= content.index(b"\n"))
    file.write_bytes(b"nonsense\n" + content)
    with pytest.raises(UserError, match=r"part-.* is damaged"):
        store.read()


def test_answers_of_another_model_or_other_questions_are_refused(tmp_path: Path) -> None:
    AnswerStore(tmp_path / "answers", KEY).append({1: "yes"})
    with pytest.raises(UserError, match=r"an evaluation with another model;"):
        AnswerStore(tmp_path / "answers", {**KEY, "model": "c"})
    (tmp_path / "answers" / "key.json").unlink()
    with pytest.raises(UserError, match=r"without key\.json"):
        AnswerStore(tmp_path / "answers", KEY)


ANSWERS_ON = """
import sys
from pathlib import Path
from collotype.families.beit3.submission import AnswerStore
store = AnswerStore(Path(sys.argv[1]), {"model": "a", "questions": "b"})
for block in range(10**6):
    store.append({block * 100 + place: f"answer {place}" for place in range(100)})
    print(block, flush=True)
"""


def test_a_killed_process_leaves_every_block_it_finished(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ANSWERS_ON, str(tmp_path / "answers")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    finished = [int(process.stdout.readline()) for _ in range(5)][-1]
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split("\n")[:-1]
    process.wait()
    process.stdout.close()
    finished = int(rest[-1]) if rest else finished
    found = AnswerStore(tmp_path / "answers", KEY).read()
    assert set(range((finished + 1) * 100)) <= set(found) and len(found) % 100 == 0
