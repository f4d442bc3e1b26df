"""The order of examples is a function of (seed, epoch, step) alone."""

from hypothesis import given
from hypothesis import strategies as st

from collotype.training.sampler import MicroBatches, Order


@given(st.integers(1, 40), st.integers(1, 16), st.integers(0, 5))
def test_no_epoch_sees_a_row_twice_and_none_is_left_out_for_good(rows: int, batch: int, seed: int) -> None:
    batch = min(batch, rows)
    order = Order(rows, batch, seed)
    steps = range(1, 3 * order.steps_per_epoch + 1)
    keys = [key for step in steps for key in order.batch(step)]
    assert len(keys) == len(set(keys))
    assert {epoch for _, epoch in keys} == {0, 1, 2}
    assert all(0 <= row < rows for row, _ in keys)
    assert len(keys) == 3 * (rows - rows % batch)


@given(st.integers(4, 30), st.integers(1, 12))
def test_a_step_needs_no_history(rows: int, step: int) -> None:
    walked = Order(rows, 4, seed=3)
    for earlier in range(1, step):
        walked.batch(earlier)
    assert walked.batch(step) == Order(rows, 4, seed=3).batch(step)


def test_epochs_and_seeds_differ() -> None:
    order, other = Order(64, 64, seed=0), Order(64, 64, seed=1)
    rows = lambda keys: [row for row, _ in keys]  # noqa: E731
    assert rows(order.batch(1)) != rows(order.batch(2))
    assert rows(order.batch(1)) != rows(other.batch(1))


@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2]))
def test_processes_and_micro_batches_share_out_the_batch(processes: int, micro_batches: int) -> None:
    order = Order(50, 16, seed=0)
    size = 16 // processes // micro_batches
    cuts = [list(MicroBatches(order, rank, processes, size, first_step=2, last_step=3)) for rank in range(processes)]
    for index, step in enumerate((2, 3)):
        pieces = [piece for cut in cuts for piece in cut[index * micro_batches : (index + 1) * micro_batches]]
        assert [key for piece in pieces for key in piece] == order.batch(step)
