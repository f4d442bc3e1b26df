"""The order of examples is a function of (seed, epoch, step) alone, however datasets are mixed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collotype.runtime.errors import UserError
from collotype.training.sampler import GlobalBatchSampler, RankMicroBatchSampler


class Rows:
    """Rows of which every `pages`-th has the same page."""

    def __init__(self, count: int, pages: int = 10**9, name: str = ""):
        self.count, self.pages, self.name = count, pages, name

    def __len__(self) -> int:
        return self.count

    @property
    def regions(self) -> list[range]:
        """Shards of five rows."""
        return [range(first, min(first + 5, self.count)) for first in range(0, self.count, 5)]

    def identities(self, row: int) -> tuple[str, ...]:
        return (f"query {self.name} {row}", f"page {row % self.pages}")


def order_of(rows: int, batch: int, seed: int = 0) -> GlobalBatchSampler:
    return GlobalBatchSampler([Rows(rows)], batch, seed)


@given(st.integers(1, 40), st.integers(1, 16), st.integers(0, 5))
def test_no_epoch_sees_a_row_twice_and_none_is_left_out_for_good(rows: int, batch: int, seed: int) -> None:
    batch = min(batch, rows)
    order = order_of(rows, batch, seed)
    keys = [key for step in range(1, 3 * (rows // batch) + 1) for key in order.batch(step)]
    assert len(keys) == len(set(keys)) == 3 * (rows - rows % batch)
    assert {epoch for _, _, epoch in keys} == {0, 1, 2}
    assert all(0 <= row < rows for _, row, _ in keys)


@given(st.integers(4, 30), st.integers(1, 12), st.booleans(), st.booleans())
def test_a_step_needs_no_history(rows: int, step: int, one_per_batch: bool, distinct: bool) -> None:
    def make() -> GlobalBatchSampler:
        return GlobalBatchSampler([Rows(rows, name="a"), Rows(9, name="b")], 4, 3, [2.0, 1.0], one_per_batch, distinct)

    walked = make()
    for earlier in range(1, step):
        walked.batch(earlier)
    assert walked.batch(step) == make().batch(step)


def test_epochs_and_seeds_differ() -> None:
    rows = lambda keys: [row for _, row, _ in keys]  # noqa: E731
    order = order_of(64, 64)
    assert rows(order.batch(1)) != rows(order.batch(2))
    assert rows(order.batch(1)) != rows(order_of(64, 64, seed=1).batch(1))


@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2]))
def test_processes_and_micro_batches_share_out_the_batch(processes: int, micro_batches: int) -> None:
    order = order_of(50, 16)
    size = 16 // processes // micro_batches
    samplers = [
        RankMicroBatchSampler(order, rank, processes, size, first_step=2, last_step=3) for rank in range(processes)
    ]
    cuts = [list(sampler) for sampler in samplers]
    assert {len(sampler) for sampler in samplers} == {len(cut) for cut in cuts} == {2 * micro_batches}
    for index, step in enumerate((2, 3)):
        pieces = [piece for cut in cuts for piece in cut[index * micro_batches : (index + 1) * micro_batches]]
        assert [key for piece in pieces for key in piece] == order.batch(step)


def test_datasets_give_by_weight_and_start_over_when_they_are_through() -> None:
    order = GlobalBatchSampler([Rows(90), Rows(10)], 10, seed=0, weights=[1.0, 3.0])
    keys = [key for step in range(1, 11) for key in order.batch(step)]
    by_dataset = Counter(dataset for dataset, _, _ in keys)
    assert by_dataset == {0: 25, 1: 75}
    assert set(Counter(row for dataset, row, _ in keys if dataset == 1).values()) <= {7, 8}
    assert {epoch for dataset, _, epoch in keys if dataset == 1} == set(range(8))
    # the next epoch goes on where this one stopped
    later = [row for step in range(11, 21) for dataset, row, _ in order.batch(step) if dataset == 0]
    assert not set(later) & {row for dataset, row, _ in keys if dataset == 0}


def test_without_weights_a_dataset_gives_its_rows() -> None:
    order = GlobalBatchSampler([Rows(30), Rows(10)], 8, seed=0)
    keys = [key for step in range(1, 6) for key in order.batch(step)]
    assert Counter(dataset for dataset, _, _ in keys) == {0: 30, 1: 10}
    assert any(len({dataset for dataset, _, _ in order.batch(step)}) == 2 for step in range(1, 6))


def test_one_dataset_a_batch() -> None:
    order = GlobalBatchSampler([Rows(40), Rows(24)], 8, seed=0, one_per_batch=True)
    sets = [{dataset for dataset, _, _ in order.batch(step)} for step in range(1, 9)]
    assert sorted(map(tuple, sets)) == [(0,)] * 5 + [(1,)] * 3
    assert sets != sorted(sets, key=tuple)


@given(st.integers(0, 20))
def test_no_page_stands_twice_in_a_distinct_batch(seed: int) -> None:
    rows = Rows(60, pages=12)
    for distinct in (False, True):
        order = GlobalBatchSampler([rows], 8, seed, distinct=distinct)
        batches = [[row % 12 for _, row, _ in order.batch(step)] for step in range(1, 6)]
        assert all(len(set(batch)) == 8 for batch in batches) == distinct
    assert len({key for step in range(1, 6) for key in order.batch(step)}) == 40


def test_what_cannot_fill_a_batch_is_said() -> None:
    with pytest.raises(UserError, match="too few examples for a batch of 8 of distinct queries and pages"):
        GlobalBatchSampler([Rows(60, pages=7)], 8, 0, distinct=True).batch(1)
    with pytest.raises(UserError, match="too few examples for a batch of 8 of one dataset"):
        GlobalBatchSampler([Rows(6), Rows(7)], 8, 0, one_per_batch=True).batch(1)


@given(st.integers(1, 4), st.integers(0, 3))
def test_a_window_keeps_few_shards_open_and_still_sees_all(window: int, seed: int) -> None:
    order = GlobalBatchSampler([Rows(40)], 10, seed, window=window)
    rows = [row for step in range(1, 5) for _, row, _ in order.batch(step)]
    assert sorted(rows) == list(range(40))
    for first in range(0, 40, 5 * window):
        assert len({row // 5 for row in rows[first : first + 5 * window]}) == min(window, (40 - first) // 5)
    again = [row for step in range(5, 9) for _, row, _ in order.batch(step)]
    assert again != rows


def test_mixed_datasets_keep_their_own_order() -> None:
    order = GlobalBatchSampler([Rows(40), Rows(20)], 10, 0, window=1)
    keys = [key for step in range(1, 7) for key in order.batch(step)]
    for number in (0, 1):
        shards = [row // 5 for dataset, row, _ in keys if dataset == number]
        assert all(len(set(shards[first : first + 5])) == 1 for first in range(0, len(shards), 5))
    assert len({dataset for dataset, _, _ in keys[:10]}) == 2
