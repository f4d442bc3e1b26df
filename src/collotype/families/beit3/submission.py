"""Answers to a set of questions: stored while they are computed, written for EvalAI, and checked.

A submission is what BEiT-3 writes and EvalAI takes: one JSON list of {"question_id": int, "answer": str}, indented by
2; here in the order of the question file, whatever the number of processes.
"""

import json
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from collotype.runtime.errors import UserError
from collotype.runtime.files import room_to_write, write_json, write_text

KEY, PARTS = "key.json", "part-*.jsonl"
SHOWN = 5


def submission_name(dataset: str) -> str:
    """As upstream names it: submit_vqav2_test.json for vqav2/test."""
    return f"submit_{dataset.replace('/', '_')}.json"


def write_submission(file: Path, questions: Sequence[int], answers: Mapping[int, str]) -> None:
    """`file`, whole; an incomplete one is written beside it as `….partial.json` instead.

    Args:
        questions: ids, in order.

    Raises:
        UserError: a question has no answer, or an answer no question.
    """
    partial = file.with_name(f"{file.stem}.partial{file.suffix}")
    given = [{"question_id": int(number), "answer": answers[number]} for number in questions if number in answers]
    text = json.dumps(given, indent=2) + "\n"
    if problems := differences(Counter(answers.keys()), questions):
        write_text(partial, text)
        raise UserError(
            f"The answers are incomplete ({problems}); those so far are in {partial}: continue the evaluation."
        )
    write_text(file, text)
    partial.unlink(missing_ok=True)


def read_submission(file: Path, questions: Sequence[int]) -> dict[int, str]:
    """The answers by question id.

    Args:
        questions: the ids that must be there.

    Raises:
        UserError: the file is not a submission, or questions are missing, unknown or there twice.
    """
    try:
        said = json.loads(file.read_text())
        found = [(one["question_id"], one["answer"]) for one in said]
        right = all(type(number) is int and isinstance(answer, str) for number, answer in found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is not a submission ({type(error).__name__}: {error}); generate it again.") from error
    if not right:
        raise UserError(
            f"{file} has a question_id that is not an integer, or an answer that is not text; generate it again."
        )
    if problems := differences(Counter(number for number, _ in found), questions):
        raise UserError(f"{file} does not match the questions ({problems}); generate it again from all answers.")
    return dict(found)


def differences(answered: Mapping[int, int], questions: Iterable[int]) -> str:
    """What is wrong with answers to these questions, in words; empty: nothing is.

    Args:
        answered: how often each id is there.
    """
    asked = dict.fromkeys(questions)
    kinds = {
        "missing": [number for number in asked if number not in answered],
        "unknown": [number for number in answered if number not in asked],
        "there twice": [number for number, count in answered.items() if count > 1],
    }
    return "; ".join(f"{len(ids):,} {kind}: {some(ids)}" for kind, ids in kinds.items() if ids)


def some(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids[:SHOWN])) + (", …" if len(ids) > SHOWN else "")


class AnswerStore:
    """Answers that outlast a kill: each process appends its finished blocks to a file of its own, and whoever opens the
    folder again finds what all of them wrote.

    Args:
        key: what decides the answers: digests of model and questions, say. A folder is of one key.

    Raises:
        UserError: the folder holds answers of another key.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]):
        self.folder = folder
        digest = sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        if (folder / KEY).is_file():
            require_key(folder / KEY, digest, key)
        elif any(folder.glob(PARTS)):
            raise UserError(f"{folder} contains answers without {KEY}, which names their model; delete it.")
        else:
            write_json(folder / KEY, {"sha256": digest, **key})
        # a file is appended to by nobody else, so only its last line can be half written
        self._own = folder / f"part-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"

    def append(self, answers: Mapping[int, str]) -> None:
        """A finished block; when this returns, no kill and no power cut takes it away."""
        with room_to_write(self._own), self._own.open("a") as file:
            file.write(json.dumps([[int(number), answer] for number, answer in answers.items()]) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> dict[int, str]:
        """All answers so far, each question's once: the first, if two processes answered it.

        Raises:
            UserError: a file is damaged.
        """
        found: dict[int, str] = {}
        for file in sorted(self.folder.glob(PARTS)):
            for number, answer in whole_lines(file):
                found.setdefault(number, answer)
        return found


def require_key(file: Path, digest: str, key: Mapping[str, Any]) -> None:
    try:
        said = json.loads(file.read_text())
        there = said["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} cannot be read ({error}); remove the folder {file.parent}.") from error
    if there != digest:
        other = [name for name in key if said.get(name) != key[name]] or [name for name in said if name not in key]
        raise UserError(
            f"{file.parent} contains answers from an evaluation with another {' and '.join(other)}; choose another "
            "folder, or delete it."
        )


def whole_lines(file: Path) -> Iterator[tuple[int, str]]:
    """The answers of a file but those of a last line that a kill cut short."""
    try:
        for line in file.read_text().split("\n")[:-1]:
            for number, answer in json.loads(line):
                yield int(number), str(answer)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{file} is damaged ({error}); delete it, and its questions are answered again.") from error
