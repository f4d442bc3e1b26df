"""MaxSim against its definition, value and gradient, whatever the cut."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collotype.losses import maxsim as module
from collotype.losses.maxsim import maxsim, smooth_maxsim


def ragged(count: int, longest: int, seed: int, dim: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, longest, dim, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, longest + 1, (count,), generator=generator)
    return vectors, torch.arange(longest) < lengths[:, None]


def definition(queries, pages, query_mask, page_mask):
    ragged_pages = [page[there] for page, there in zip(pages, page_mask, strict=True)]
    ragged_queries = [query[keep] for query, keep in zip(queries, query_mask, strict=True)]
    rows = [[(query @ page.T).max(dim=1).values.sum() for page in ragged_pages] for query in ragged_queries]
    return torch.stack([torch.stack(row) for row in rows])


@pytest.mark.parametrize("block_elements", [1, 50, 2**24])
def test_value_and_gradient_follow_the_definition(block_elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "block_elements", lambda device: block_elements)
    queries, query_mask = ragged(4, 6, seed=1)
    pages, page_mask = ragged(5, 7, seed=2)
    pull = torch.randn(4, 5, dtype=torch.float64)
    found = []
    for score in (maxsim, definition):
        q, p = queries.clone().requires_grad_(), pages.clone().requires_grad_()
        value = score(q, p, query_mask, page_mask)
        (value * pull).sum().backward()
        found.append((value.detach(), q.grad, p.grad))
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 6))
def test_batch_mates_and_padding_change_nothing(seed: int, extra_pages: int, extra_padding: int) -> None:
    queries, query_mask = ragged(2, 3, seed)
    pages, page_mask = ragged(2, 4, seed + 1)
    more, more_mask = ragged(extra_pages, 4 + extra_padding, seed + 2)
    wide = torch.nn.functional.pad(pages, (0, 0, 0, extra_padding), value=100.0)
    wide_mask = torch.nn.functional.pad(page_mask, (0, extra_padding))
    together = maxsim(queries, torch.cat([wide, more]), query_mask, torch.cat([wide_mask, more_mask]))
    torch.testing.assert_close(together[:, :2], maxsim(queries, pages, query_mask, page_mask), atol=1e-12, rtol=0)


def test_half_precision_is_scored_in_float32() -> None:
    queries, pages = torch.full((1, 1, 300), 0.1), torch.full((1, 1, 300), 0.1)
    score = maxsim(queries.bfloat16(), pages.bfloat16())
    assert score.dtype is torch.float32
    assert score.item() == pytest.approx(300 * torch.tensor(0.1).bfloat16().item() ** 2, rel=1e-6)


@pytest.mark.parametrize("score", [maxsim, smooth_maxsim])
def test_scores_are_not_rounded_where_the_model_computes_in_half(score: Callable) -> None:
    queries, query_mask = ragged(3, 4, seed=1, dim=32)
    pages, page_mask = ragged(3, 5, seed=2, dim=32)
    asked = (queries.float(), pages.float(), query_mask, page_mask)
    wanted = score(queries, pages, query_mask, page_mask).float()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(score(*asked), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("score", [maxsim, smooth_maxsim])
def test_without_masks_every_vector_counts(score: Callable) -> None:
    queries, pages = ragged(2, 3, seed=1)[0], ragged(3, 4, seed=2)[0]
    whole = score(queries, pages, torch.ones(2, 3, dtype=torch.bool), torch.ones(3, 4, dtype=torch.bool))
    assert torch.equal(score(queries, pages), whole)


@pytest.mark.parametrize("block_elements", [1, 2**24])
def test_the_smooth_maximum_follows_its_definition(block_elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "block_elements", lambda device: block_elements)
    queries, query_mask = ragged(3, 4, seed=5)
    pages, page_mask = ragged(4, 6, seed=6)
    q, p = queries.clone().requires_grad_(), pages.clone().requires_grad_()
    scores = smooth_maxsim(q, p, query_mask, page_mask, tau=0.3)
    scores.sum().backward()
    assert not query_mask.all()
    for row, (query, there) in enumerate(zip(queries, query_mask, strict=True)):
        one = sum(0.3 * torch.logsumexp(pages[1][page_mask[1]] @ v / 0.3, dim=0) for v in query[there])
        assert scores[row, 1].item() == pytest.approx(one.item(), abs=1e-12)
    assert not q.grad[~query_mask].any() and not p.grad[~page_mask].any() and p.grad[page_mask].any()
