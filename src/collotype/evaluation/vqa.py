"""Visual question answering: the official accuracy, and the score that BEiT-3's training prints.

The official accuracy is that of GT-Vision-Lab/VQA (`vqaEval.py` at c4e6a0e, the version for Python 3): an answer is
brought to a normal form, and is as right as the number of people who gave it. The normal form is reproduced with its
quirks, because published numbers have them. (The version before that had other marks and curly apostrophes; the code
that EvalAI shows has other patterns. They differ on answers with punctuation in them.)
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
ARTICLES = ("a", "an", "the")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBER_WORDS = {"none": "0"} | {word: str(value) for value, word in enumerate(NUMBERS)}
CONTRACTED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're
there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've
when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't
wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
""".split()
CONTRACTIONS = {
    f"{word[:place]}{word[place + 1 :]}": word
    for word in CONTRACTED
    for place, letter in enumerate(word)
    if letter == "'"
} | {"somebody'd": "somebodyd"}
"""What lacks one of its apostrophes -> the whole of it; and one that the official table has the wrong way round. Words
that its table spells with a capital (Im, Ive) are never met there: texts are in small letters by then."""
NUMBER_WITH_COMMA = re.compile(r"\d,\d")
PERIOD = re.compile(r"\.(?!\d)")
"""Meant to keep a period after a digit, too: the official pattern misspells that."""
MOST_PERIODS = 32
"""The official code hands `re.UNICODE`, which is 32, to `sub` as a count."""

ENOUGH = 3
"""An answer that so many of the other people gave is wholly right."""
FEWEST_PEOPLE = ENOUGH + 1
SOFT_SCORES = (0.0, 0.3, 0.6, 0.9, 1.0)
"""BEiT-3's and ViLT's, by how many of ten people gave the answer; what the official formula gives for them."""
ANSWER_TYPES = {"yes/no": "yes_no", "number": "number", "other": "other"}
METRICS = ("vqa_accuracy", *(f"vqa_accuracy_{name}" for name in ANSWER_TYPES.values()), "beit3_score")


class Question(NamedTuple):
    """What people answered to a question, one answer or four and more; the types are VQAv2's, where they are known."""

    id: int
    answers: Sequence[str]
    answer_type: str = ""
    question_type: str = ""


@dataclass
class VqaScores:
    """Accuracies from 0 to 1 over all questions."""

    metrics: dict[str, float]
    """Those of METRICS that there are questions for, `vqa_accuracy` first."""
    by_question_type: dict[str, float] = field(default_factory=dict)
    questions: int = 0
    unanswered: list[int] = field(default_factory=list)
    """Questions that count as wrong because they have no answer."""
    outside: int = 0
    """Questions none of whose answers is in the vocabulary: `beit3_score` leaves them out, the accuracy does not."""


def normalised(answer: str) -> str:
    """The normal form of a given answer; also that of an entry of BEiT-3's vocabulary."""
    text = without_punctuation(answer.replace("\n", " ").replace("\t", " ").strip())
    words = (NUMBER_WORDS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


@lru_cache(2**16)
def without_punctuation(text: str) -> str:
    """A mark becomes a space, or nothing: if it stands beside a space anywhere in the text, or if a number has a comma
    anywhere in it (then every mark). Periods go, but before a digit."""
    joined = NUMBER_WITH_COMMA.search(text) is not None
    result = text
    for mark in PUNCTUATION:
        bare = joined or f"{mark} " in text or f" {mark}" in text
        result = result.replace(mark, "" if bare else " ")
    return PERIOD.sub("", result, count=MOST_PERIODS)


def answer_accuracy(answer: str, answers: Sequence[str]) -> float:
    """How right a given answer is: for each person, a third for each of the others who gave it, one at most; the mean
    over people.

    The given answer is normalised; people's only lose their punctuation, and only where they differ. A single person's
    answer, which the official code does not know, is normalised too, and the given one is right or wrong.

    Raises:
        ValueError: there are no people, or two or three, with whom no answer could be wholly right.
    """
    given = normalised(answer)
    if len(answers) == 1:
        return float(given == normalised(answers[0]))
    if len(answers) < FEWEST_PEOPLE:
        raise ValueError(f"A question has {len(answers)} answers; give one, or at least {FEWEST_PEOPLE}.")
    if len(set(answers)) > 1:
        answers = [without_punctuation(one) for one in answers]
    return accuracy_of_count(answers.count(given), len(answers))


def accuracy_of_count(same: int, people: int) -> float:
    """The mean over people, of whom `same` gave the answer."""
    own, others = min((same - 1) / ENOUGH, 1), min(same / ENOUGH, 1)
    return (same * own + (people - same) * others) / people


def soft_score(count: int) -> float:
    """What BEiT-3 trains an answer towards that `count` of ten people gave."""
    return SOFT_SCORES[min(count, len(SOFT_SCORES) - 1)]


def vqa_scores(
    questions: Iterable[Question], answers: Mapping[int, str], vocabulary: Collection[str] | None = None
) -> VqaScores:
    """The official accuracy over all questions, by type of answer and of question.

    Args:
        answers: by question id; a question without one counts as wrong and is listed.
        vocabulary: adds `beit3_score`: the soft score of the given answer among people's, both as they are spelled,
            over the questions that have an answer in the vocabulary.

    Raises:
        ValueError: no questions, one twice, an answer to none of them, or see `answer_accuracy`.
    """
    accuracies: dict[str, list[float]] = defaultdict(list)
    by_question_type: dict[str, list[float]] = defaultdict(list)
    soft, unanswered, seen = [], [], set()
    known_answers = None if vocabulary is None else frozenset(vocabulary)
    for question in questions:
        if question.id in seen:
            raise ValueError(f"Question {question.id} appears twice.")
        seen.add(question.id)
        given = answers.get(question.id)
        if given is None:
            unanswered.append(question.id)
        accuracy = 0.0 if given is None else answer_accuracy(given, question.answers)
        accuracies["vqa_accuracy"].append(accuracy)
        if question.answer_type in ANSWER_TYPES:
            accuracies[f"vqa_accuracy_{ANSWER_TYPES[question.answer_type]}"].append(accuracy)
        if question.question_type:
            by_question_type[question.question_type].append(accuracy)
        if known_answers is not None and not known_answers.isdisjoint(question.answers):
            soft.append(soft_score(out_of_ten(given, question.answers)))
    if not seen:
        raise ValueError("There are no questions.")
    if unknown := [known for known in answers if known not in seen]:
        raise ValueError(f"{len(unknown)} answers belong to no known question, the first to question {unknown[0]}.")
    metrics = {name: mean(accuracies[name]) for name in METRICS if accuracies[name]}
    if soft:
        metrics["beit3_score"] = mean(soft)
    by_type = {name: mean(values) for name, values in sorted(by_question_type.items())}
    outside = len(seen) - len(soft) if vocabulary is not None else 0
    return VqaScores(metrics, by_type, len(seen), unanswered, outside)


def out_of_ten(given: str | None, answers: Sequence[str]) -> int:
    """How many people gave an answer; a single person counts for all ten."""
    return Counter[str | None](answers)[given] * (10 if len(answers) == 1 else 1)


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
