"""Token pooling: counts, norms, what is kept, and the peer's own clusters (those in tests/parity)."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from collotype.families import task_for
from collotype.families.retriever.benchmarks.qa import read_qa
from collotype.families.retriever.compress import compress
from collotype.families.retriever.evaluate import VectorSearch, retrieve
from collotype.families.retriever.token_pooling import Pooling, pool_tokens
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError
from tests.families.retriever.benchmarks.parquet_sets import sheets_as_qa

both = pytest.mark.parametrize("method", ["hierarchical", "fast"])


def page(length: int, dim: int = 16, seed: int = 0) -> Tensor:
    vectors = torch.randn(length, dim, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(vectors, dim=-1)


@both
@pytest.mark.parametrize("length", [1, 2, 7, 42, 300])
@pytest.mark.parametrize("factor", [1, 2, 3, 50])
def test_pooling_leaves_a_factorth_of_unit_vectors(method: str, length: int, factor: int) -> None:
    pooled = pool_tokens(page(length), factor, method)
    assert pooled.shape == (max(length // factor, 1), 16)
    torch.testing.assert_close(pooled.norm(dim=-1), torch.ones(len(pooled)))


@both
def test_factor_one_and_a_single_vector_stay_as_they_are(method: str) -> None:
    vectors = page(20)
    assert torch.equal(pool_tokens(vectors, 1, method), vectors)
    assert torch.equal(pool_tokens(vectors[:1], 3, method), vectors[:1])
    assert pool_tokens(vectors[:0], 3, method).shape == (0, 16)


@both
def test_a_page_is_pooled_by_itself(method: str) -> None:
    pages = [page(length, seed=length) for length in (40, 7, 1, 90)]
    pool = Pooling(factor=3, method=method)
    for together, alone in zip(pool(pages), reversed(pool(pages[::-1])), strict=True):
        assert torch.equal(together, alone)


@both
def test_repeated_vectors_pool_to_the_distinct_ones(method: str) -> None:
    distinct = page(40, dim=64)
    repeated = distinct.repeat_interleave(torch.arange(40) % 5 + 1, dim=0)
    repeated = repeated[torch.randperm(len(repeated), generator=torch.Generator().manual_seed(0))]
    pooled = pool_tokens(repeated, len(repeated) // 40, method)
    assert len(pooled) == 40
    assert torch.allclose((distinct @ pooled.T).amax(1), torch.ones(40), atol=1e-5)


def test_fast_keeps_no_vector_twice() -> None:
    """60 vectors are asked for, 20 distinct ones are there."""
    assert len(pool_tokens(page(20, dim=64).repeat(6, 1), 2, "fast")) == 20


def test_fast_serves_the_worst_of_a_cluster_better_than_its_mean() -> None:
    angles = torch.tensor([0.0, 0.01, 0.02, 0.03, 0.5])
    fan = torch.stack([angles.cos(), angles.sin()], dim=1)
    centre, mean = pool_tokens(fan, 5, "fast"), functional.normalize(fan.mean(0, keepdim=True), dim=-1)
    assert (fan @ mean.T).min() < (fan @ centre.T).min()
    assert torch.atan2(*centre[0].flip(0)).item() == pytest.approx(0.25, abs=0.04)


@both
def test_the_order_of_a_pages_vectors_is_no_matter(method: str) -> None:
    vectors = page(60)
    shuffled = vectors[torch.randperm(60, generator=torch.Generator().manual_seed(1))]
    one, other = pool_tokens(vectors, 3, method), pool_tokens(shuffled, 3, method)
    torch.testing.assert_close((one @ other.T).amax(1), torch.ones(20))


@both
def test_dtype_and_gradient_state_come_back_as_given(method: str) -> None:
    pooled = pool_tokens(page(30).to(torch.bfloat16).requires_grad_(), 3, method)
    assert pooled.dtype is torch.bfloat16 and not pooled.requires_grad


@pytest.mark.parametrize("factor", [0, -1, 1.5])
def test_a_factor_that_cannot_be_is_named(factor: float) -> None:
    with pytest.raises(UserError, match=f"The pool factor is {factor}"):
        pool_tokens(page(4), factor)
    with pytest.raises(UserError, match="Unknown pooling method 'kmeans'; the methods are hierarchical, fast"):
        Pooling(factor=2, method="kmeans")


def test_the_table_counts_vectors_and_bytes_and_measures_as_evaluation_does(tmp_path: Path) -> None:
    model = task_for(load_recipe("desk-colpali")).build()
    benchmark = read_qa("qa/sheets", sheets_as_qa(tmp_path, 12))
    poolings = [Pooling(factor=1), Pooling(factor=4, method="fast")]
    whole, same, fewer = compress(model, [benchmark], poolings)
    assert whole.metrics == same.metrics == retrieve(VectorSearch(model), [benchmark])[0].metrics
    assert (whole.method, whole.difference, same.difference) == (None, 0.0, 0.0)
    assert (whole.vectors_per_page, whole.bytes_per_page) == (42, 42 * 128 * 2)
    assert (fewer.vectors_per_page, fewer.bytes_per_page) == (10, 10 * 128 * 2)
    assert fewer.metrics == retrieve(VectorSearch(model, pooling=poolings[1]), [benchmark])[0].metrics
    assert fewer.difference == fewer.metrics["ndcg_at_5"] - whole.metrics["ndcg_at_5"]
