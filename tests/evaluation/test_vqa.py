"""The official VQA accuracy, quirk by quirk, and BEiT-3's score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collotype.evaluation.vqa import (
    METRICS,
    Question,
    accuracy_of_count,
    answer_accuracy,
    normalised,
    soft_score,
    vqa_scores,
    without_punctuation,
)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("  Two\n", "2"),
        ("None", "0"),
        ("ten\tpeople", "10 people"),
        ("eleven", "eleven"),
        ("the cat and a dog", "cat and dog"),
        ("A", ""),
        ("dont", "don't"),
        ("couldntve", "couldntve"),
        ("couldn'tve", "couldn't've"),
        ("couldnt've", "couldn't've"),
        ("yalld've", "yalld've"),
        ("y'alld've", "y'all'd've"),
        ("'ows'at", "'ow's'at"),
        ("twas", "'twas"),
        ("somebody'd", "somebodyd"),
        ("Im Ive", "im ive"),
        ("it's mans", "it's mans"),
    ],
)
def test_words_are_brought_to_their_normal_form(answer: str, wanted: str) -> None:
    assert normalised(answer) == wanted


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("t-shirt", "t shirt"),
        ("black/white", "black white"),
        ("yes!", "yes "),
        ("yes, no", "yes no"),
        # beside a space once is beside a space everywhere
        ("t-shirt - red", "tshirt  red"),
        # a number with a comma glues everything
        ("1,000 t-shirts", "1000 tshirts"),
        ("a,b", "a b"),
        # colons and apostrophes are none of the marks
        ("10:30 o'clock", "10:30 o'clock"),
        # a period goes, also after a digit, but before one it stays
        ("mr. smith", "mr smith"),
        ("3.", "3"),
        ("3.5", "3.5"),
        (".5", ".5"),
        ("U.S.A.", "USA"),
        # and only 32 of them go
        ("." * 40, "." * 8),
    ],
)
def test_marks_go_as_the_official_code_lets_them_go(answer: str, wanted: str) -> None:
    assert without_punctuation(answer) == wanted


@pytest.mark.parametrize(("count", "wanted"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (7, 1), (10, 1)])
def test_ten_people_give_what_papers_print(count: int, wanted: float) -> None:
    answers = ["cat"] * count + [f"other {number}" for number in range(10 - count)]
    assert answer_accuracy("cat", answers) == pytest.approx(wanted, abs=1e-12)
    assert soft_score(count) == pytest.approx(wanted, abs=1e-12)


@given(st.integers(4, 20).flatmap(lambda people: st.tuples(st.integers(0, people), st.just(people))))
def test_one_is_left_out_for_each_person(counts: tuple[int, int]) -> None:
    same, people = counts
    gave = [True] * same + [False] * (people - same)
    one_by_one = [min((sum(gave) - own) / 3, 1) for own in gave]
    assert accuracy_of_count(same, people) == pytest.approx(sum(one_by_one) / people, abs=1e-12)


@given(st.text(alphabet="ab3,. -!'\n", max_size=12), st.lists(st.text(alphabet="ab3,. -", max_size=5), min_size=4))
def test_accuracy_is_between_none_and_all_and_knows_no_order(answer: str, answers: list[str]) -> None:
    accuracy = answer_accuracy(answer, answers)
    assert 0 <= accuracy <= 1
    assert accuracy == answer_accuracy(answer, answers[::-1]) == answer_accuracy(f" {answer}\t", answers)


def test_what_people_said_loses_its_marks_only_where_they_differ() -> None:
    assert answer_accuracy("t-shirt", ["t-shirt"] * 10) == 0
    assert answer_accuracy("t-shirt", ["t-shirt"] * 9 + ["shirt"]) == 1
    # and is never brought to small letters or digits
    assert answer_accuracy("two", ["two"] * 10) == 0
    assert answer_accuracy("two", ["2"] * 3 + ["two"] * 7) == pytest.approx(0.9)


def test_a_single_answer_is_right_or_wrong() -> None:
    assert answer_accuracy("Two cats", ["2 cats"]) == 1 == answer_accuracy("2 cats", ["Two cats."])
    assert answer_accuracy("cat", ["dog"]) == 0
    for people in (0, 2, 3):
        with pytest.raises(ValueError, match=f"{people} answers"):
            answer_accuracy("cat", ["cat"] * people)


QUESTIONS = [
    Question(1, ["yes"] * 10, "yes/no", "is the"),
    Question(2, ["no"] * 8 + ["yes"] * 2, "yes/no", "is there"),
    Question(3, ["2"] * 1 + ["3"] * 9, "number", "how many"),
    Question(4, ["red"] * 3 + ["crimson"] * 7, "other", "what color is the"),
    Question(5, ["unheard of"] * 10, "other", "what color is the"),
]


def test_accuracy_by_type_over_all_questions() -> None:
    scores = vqa_scores(QUESTIONS, {1: "yes", 2: "yes", 3: "two", 4: "red"}, {"yes", "no", "2", "3", "red"})
    assert scores.metrics == pytest.approx(
        {
            "vqa_accuracy": (1 + 0.6 + 0.3 + 0.9 + 0) / 5,
            "vqa_accuracy_yes_no": 0.8,
            "vqa_accuracy_number": 0.3,
            "vqa_accuracy_other": 0.45,
            # as people spell it, and without the fifth question
            "beit3_score": (1 + 0.6 + 0 + 0.9) / 4,
        }
    )
    assert list(scores.metrics) == list(METRICS)
    assert scores.by_question_type == pytest.approx(
        {"how many": 0.3, "is the": 1.0, "is there": 0.6, "what color is the": 0.45}
    )
    assert (scores.questions, scores.unanswered, scores.outside) == (5, [5], 1)


def test_only_what_can_be_said_is_said() -> None:
    scores = vqa_scores([Question(7, ["cat"]), Question(8, ["dog"])], {7: "cat", 8: "dog"}, {"cat"})
    assert scores.metrics == {"vqa_accuracy": 1.0, "beit3_score": 1.0}
    assert scores.by_question_type == {} and scores.outside == 1


def test_questions_and_answers_must_fit() -> None:
    with pytest.raises(ValueError, match="no questions"):
        vqa_scores([], {})
    with pytest.raises(ValueError, match="1 answers belong to no known question, the first to question 9"):
        vqa_scores(QUESTIONS, {1: "yes", 9: "no"})
    with pytest.raises(ValueError, match="Question 1 appears twice"):
        vqa_scores([QUESTIONS[0], QUESTIONS[0]], {})
