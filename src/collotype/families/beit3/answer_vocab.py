"""The list of answers that a model chooses from, in a file."""

import json
from collections.abc import Sequence
from pathlib import Path

from collotype.runtime.errors import UserError
from collotype.runtime.files import write_text

ANSWERS = "answer2label.txt"
"""A line {"answer": "yes", "label": 0} for each answer, in order: what BEiT-3's own data preparation writes."""


def read_answers(file: Path) -> tuple[str, ...]:
    """
    Raises:
        UserError: the file cannot be read, a line is no such object or out of order, or an answer appears twice.
    """
    try:
        lines = [line for line in file.read_text().split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read ({error}); copy it again.") from error
    answers: list[str] = []
    for number, line in enumerate(lines):
        try:
            said = json.loads(line)
            answer, label = said["answer"], said["label"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f'{file}, line {number + 1} is {line[:40]!r}; it must be like {{"answer": "yes", "label": {number}}}.'
            ) from error
        if label != number or not isinstance(answer, str):
            raise UserError(
                f"{file}, line {number + 1} has the answer {answer!r} with the label {label!r}; labels count the lines "
                "from 0."
            )
        answers.append(answer)
    if not answers or len(set(answers)) < len(answers):
        raise UserError(
            f"{file} has {len(answers)} answers, but only {len(set(answers))} different ones; generate it again."
        )
    return tuple(answers)


def write_answers(answers: Sequence[str], file: Path) -> None:
    lines = (json.dumps({"answer": answer, "label": number}) for number, answer in enumerate(answers))
    write_text(file, "".join(f"{line}\n" for line in lines))
