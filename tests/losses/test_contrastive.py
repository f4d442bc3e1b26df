"""Objectives at their corners; their values against the peer stand in tests/parity."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collotype.losses.contrastive import (
    ContrastiveLoss,
    Vectors,
    filter_false_negatives,
    multiply_likely_positives,
    score_all,
)
from collotype.losses.registry import CURRENT, NAMED, OBJECTIVES, PAPER, loss_names, make_loss


def vectors(*shape: int, seed: int = 0) -> Vectors:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Vectors(values, torch.ones(shape[:-1], dtype=torch.bool))


def test_a_single_vector_is_scored_by_its_dot_product() -> None:
    queries, pages = vectors(3, 1, 8), vectors(4, 1, 8, seed=1)
    torch.testing.assert_close(score_all(queries, pages), queries.values[:, 0] @ pages.values[:, 0].T)


def test_normalised_scores_do_not_grow_with_the_query() -> None:
    loss, query, page = ContrastiveLoss(normalize=True), vectors(1, 1, 8), vectors(2, 3, 8, seed=1)
    long = Vectors(query.values.expand(1, 5, 8), query.mask.expand(1, 5))
    torch.testing.assert_close(loss.scores(long, page), loss.scores(query, page))


def test_infonce_of_equal_scores_is_the_logarithm_of_the_batch() -> None:
    assert make_loss("infonce").in_batch(torch.zeros(8, 8)).item() == pytest.approx(math.log(8))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_batch_of_one_is_defined(objective: str) -> None:
    queries = vectors(1, 2, 4)
    queries.values.requires_grad_()
    loss = make_loss(objective)(queries, vectors(1, 3, 4, seed=1))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(queries.values.grad).all()
    if objective != "sigmoid":
        assert loss.item() == 0.0


def test_batches_may_be_larger_than_the_peers_index_buffer() -> None:
    assert torch.isfinite(make_loss("pairwise")(vectors(1100, 1, 2), vectors(1100, 1, 2, seed=1)))


def test_a_missing_explicit_negative_changes_nothing() -> None:
    loss, queries, pages = make_loss("pairwise"), vectors(3, 2, 4), vectors(3, 5, 4, seed=1)
    two = vectors(3, 2, 5, 4, seed=2)
    mask = two.mask.clone()
    mask[1, 1] = False
    ragged = loss(queries, pages, Vectors(two.values, mask))
    own = score_all(queries, pages).diagonal()
    pulls = []
    for row, column in ((0, 0), (0, 1), (1, 0), (2, 0), (2, 1)):
        query = Vectors(queries.values[row : row + 1], queries.mask[row : row + 1])
        negative = Vectors(two.values[row, column][None], two.mask[row, column][None])
        pulls.append(torch.nn.functional.softplus((score_all(query, negative)[0, 0] - own[row]) / 0.02))
    expected = 0.5 * torch.stack(pulls).mean() + 0.5 * loss(queries, pages)
    assert ragged.item() == pytest.approx(expected.item(), abs=1e-12)


def test_shared_negatives_push_every_query() -> None:
    queries, pages, negatives = vectors(3, 2, 4), vectors(3, 5, 4, seed=1), vectors(3, 1, 5, 4, seed=2)
    shared = make_loss("infonce", share_negatives=True, in_batch_weight=0.0)(queries, pages, negatives)
    scores = score_all(queries, Vectors(negatives.values[:, 0], negatives.mask[:, 0]))
    own = score_all(queries, pages).diagonal()[:, None]
    assert shared.item() == pytest.approx(torch.nn.functional.softplus((scores - own) / 0.02).mean().item())


def test_names_are_found_in_their_dialect() -> None:
    assert vars(make_loss("ColbertPairwiseCELoss")) == vars(NAMED[CURRENT]["ColbertPairwiseCELoss"])
    assert make_loss("ColbertPairwiseCELoss", PAPER).normalize is False
    assert make_loss("ColbertLoss", temperature=0.1).temperature == 0.1
    assert len(loss_names()) == 4 + 11
    with pytest.raises(ValueError, match="unknown loss 'ColbertSigmoidLoss' in the dialect paper"):
        make_loss("ColbertSigmoidLoss", PAPER)
    with pytest.raises(ValueError, match="unknown dialect 'latin'"):
        make_loss("ColbertLoss", "latin")
    with pytest.raises(ValueError, match="the same in every dialect"):
        make_loss("infonce", PAPER)


def test_what_is_damped_is_beyond_the_threshold() -> None:
    """At threshold * s_ii itself a negative is still one."""
    scores = torch.tensor([[2.0, 1.0, 1.25], [0.0, 2.0, 0.0], [2.5, 0.0, 2.0]])
    multiplied = multiply_likely_positives(scores, threshold=0.5, factor=0.5)
    assert multiplied.tolist() == [[2.0, 1.0, 0.625], [0.0, 2.0, 0.0], [1.25, 0.0, 2.0]]
    lowered = filter_false_negatives(scores, threshold=0.5, factor=0.5)
    assert lowered.tolist() == [[2.0, 1.0, 0.25], [0.0, 2.0, 0.0], [1.25, 0.0, 2.0]]


NEGATIVE = torch.tensor([[-0.20, -0.10, -0.15], [-0.12, -0.18, -0.16], [-0.11, -0.17, -0.21]])


def test_a_filter_does_not_push_negative_cosines_harder() -> None:
    """The figures of docs/invariance.md."""
    filters = ({}, {"filter_threshold": 0.95, "filter_formula": "multiply"}, {"filter_threshold": 0.95})
    losses = [make_loss("infonce", **one).in_batch(NEGATIVE).item() for one in filters]
    assert losses == pytest.approx([4.437, 7.340, 0.519], abs=1e-3)


SCORES = st.lists(st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4), min_size=4, max_size=4)


@given(SCORES, st.floats(0.5, 1), st.floats(0.1, 0.9), st.sampled_from(OBJECTIVES))
def test_filtering_lowers_likely_positives_and_never_raises_a_loss(
    rows: list[list[float]], threshold: float, factor: float, objective: str
) -> None:
    scores = torch.tensor(rows, dtype=torch.float64)
    damped, own = filter_false_negatives(scores, threshold, factor), scores.diagonal()[:, None]
    others, better = ~torch.eye(4, dtype=torch.bool), scores > own
    assert (damped <= scores).all() and (damped[others & better] < scores[others & better]).all()
    assert torch.equal(damped.diagonal(), scores.diagonal())
    clear = others & better & (own >= 0)
    torch.testing.assert_close(damped[clear], multiply_likely_positives(scores, threshold, factor)[clear])
    changes = {"filter_threshold": threshold, "filter_factor": factor}
    filtered, plain = make_loss(objective, **changes).in_batch(scores), make_loss(objective).in_batch(scores)
    assert filtered <= plain + 1e-9


def test_classes_of_the_engine_keep_its_formula_and_ours_have_ours() -> None:
    assert {loss.filter_formula for losses in NAMED.values() for loss in losses.values()} == {"multiply"}
    assert {make_loss(name).filter_formula for name in OBJECTIVES} == {"lower"}
    assert make_loss("ColbertLoss", filter_formula="lower").filter_formula == "lower"


def test_scores_are_divided_by_the_temperature() -> None:
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert make_loss("infonce", temperature=0.5).in_batch(scores).item() == pytest.approx(math.log1p(math.exp(-2)))


@pytest.mark.parametrize(
    ("objective", "value"),
    [
        ("infonce", (math.log1p(math.exp(-1) + math.exp(-4)) + math.log1p(math.exp(1) + 1) + math.log(3)) / 3),
        ("pairwise", (math.log1p(math.exp(-1)) + math.log1p(math.exp(1)) + math.log(2)) / 3),
    ],
)
def test_objectives_have_the_value_of_their_formula(objective: str, value: float) -> None:
    scores = torch.tensor([[2.0, 1.0, -2.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.5]], dtype=torch.float64)
    assert make_loss(objective, temperature=1.0).in_batch(scores).item() == pytest.approx(value)


def test_the_engines_losses_have_its_temperature() -> None:
    """colpali-engine 0.3.18's default of all classes but ColbertPairwiseCELoss."""
    assert {name: loss.temperature for name, loss in NAMED[CURRENT].items() if loss.temperature != 0.02} == {
        "ColbertPairwiseCELoss": 1.0
    }


def test_own_scores_are_those_of_each_querys_page_and_negatives() -> None:
    queries, pages, negatives = vectors(2, 3, 4), vectors(2, 5, 4, seed=1), vectors(2, 2, 5, 4, seed=2)
    negatives.mask[0, 1] = False
    scores, there = ContrastiveLoss().own_scores(queries, pages, negatives)
    assert there.tolist() == [[True, True, False], [True, True, True]]
    torch.testing.assert_close(scores[:, 0], score_all(queries, pages).diagonal())
    second = Vectors(negatives.values[1], negatives.mask[1])
    torch.testing.assert_close(scores[1, 1:], score_all(queries, second)[1])
    assert scores[0, 2] == 0
    page_less = Vectors(pages.values, pages.mask & torch.tensor([[False], [True]]))
    assert not ContrastiveLoss().own_scores(queries, page_less, negatives)[1][0, 0]
