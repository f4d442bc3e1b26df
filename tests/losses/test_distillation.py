"""What a student learns of a teacher."""

import pytest
import torch
from torch.nn import functional

from collotype.losses.contrastive import Vectors
from collotype.losses.distillation import kl_loss, margin_mse_loss, own_scores_loss, vector_loss

SCORES = torch.tensor([[3.0, 1.0, 0.0], [0.5, 2.0, 1.0], [0.0, 0.0, 4.0]])


def test_a_student_that_scores_as_its_teacher_has_no_loss() -> None:
    assert kl_loss(SCORES, SCORES, 0.5) == pytest.approx(0, abs=1e-6)
    assert margin_mse_loss(SCORES, SCORES) == 0


def test_margins_know_no_offset_and_distributions_no_offset_of_a_query() -> None:
    moved = SCORES + torch.tensor([[5.0], [-1.0], [0.25]])
    assert margin_mse_loss(moved, SCORES) == pytest.approx(0, abs=1e-6)
    assert kl_loss(moved, SCORES, 1.0) == pytest.approx(0, abs=1e-6)


def test_values_worked_out_by_hand() -> None:
    one, other = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # margins 2 and 1 against 1 and 1
    assert margin_mse_loss(one, other) == pytest.approx(0.5)
    teacher, student = torch.softmax(torch.tensor([1.0, 0.0]), 0), torch.softmax(torch.tensor([2.0, 0.0]), 0)
    assert kl_loss(one, other, 1.0) == pytest.approx(float((teacher * (teacher / student).log()).sum()) / 2)


def test_padding_has_no_part_and_short_queries_count_as_long_ones() -> None:
    vectors = functional.normalize(torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    other = vectors.clone()
    other[1] = -other[1]
    assert vector_loss(Vectors(vectors, mask), Vectors(other, mask)) == pytest.approx(1.0)
    other[1, 1:] = 7
    assert vector_loss(Vectors(vectors, mask), Vectors(other, mask)) == pytest.approx(1.0)


def test_a_temperature_divides_the_scores_of_both_sides() -> None:
    assert kl_loss(SCORES, SCORES.T, 0.5) == pytest.approx(kl_loss(SCORES * 2, SCORES.T * 2, 1.0).item())


def test_own_scores_are_compared_where_there_is_a_negative() -> None:
    student, teacher = (
        torch.tensor([[2.0, 1.0, 9.0], [1.0, 0.0, 3.0]]),
        torch.tensor([[2.0, 0.0, 7.0], [1.0, 1.0, 1.0]]),
    )
    there = torch.tensor([[True, True, False], [True, True, True]])
    # margins 1, 1 and -2 against 2, 0 and 0
    assert own_scores_loss(student, teacher, there, None) == pytest.approx((1 + 1 + 4) / 3)
    alone = torch.tensor([[True, False, False], [True, False, False]])
    assert own_scores_loss(student, teacher, alone, None) == 0
    first = kl_loss(student[:1, :2], teacher[:1, :2], 0.5)
    second = kl_loss(student[1:], teacher[1:], 0.5)
    assert own_scores_loss(student, teacher, there, 0.5) == pytest.approx((first + second).item() / 2)
