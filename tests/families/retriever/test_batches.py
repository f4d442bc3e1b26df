"""How work is cut: little padding, the budget kept, everything once and in order."""

import random

from hypothesis import given
from hypothesis import strategies as st

from collotype.families.retriever.batches import cut_in_batches, in_batches, padding
from collotype.families.retriever.transforms import Dynamic
from collotype.runtime.process import BLOCK, over_blocks
from collotype.runtime.world import World

LENGTHS = st.lists(st.integers(1, 900), max_size=200)


@given(LENGTHS, st.integers(1, 4000))
def test_every_place_once_within_the_budget_and_the_waste(lengths: list, budget: int) -> None:
    batches = cut_in_batches(lengths, budget)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[p] for p in batch) <= budget for batch in batches)
    assert padding(lengths, batches) <= 0.1 + 1e-9


@given(LENGTHS, st.integers(1, 4000))
def test_results_are_in_the_places_own_order(lengths: list, budget: int) -> None:
    assert in_batches(lengths, budget, lambda batch: [lengths[place] for place in batch]) == lengths


def test_pages_of_mixed_sizes_waste_less_than_a_tenth_in_few_passes() -> None:
    """Slides, portrait pages, small figures: 768 visual tokens at most, as ColQwen2 sees them."""
    rng, layout = random.Random(0), Dynamic(14, 2, 2, 768)
    shapes = [(1024, 768), (1240, 1754), (400, 300), (900, 600), (300, 800)]
    lengths = []
    for _ in range(BLOCK):
        width, height = rng.choice(shapes)
        rows, columns = layout.grid((width + rng.randrange(60), height + rng.randrange(60)))
        lengths.append(rows * columns + 12)
    batches = cut_in_batches(lengths, 16384)
    in_file_order = [list(range(start, min(start + 21, BLOCK))) for start in range(0, BLOCK, 21)]
    assert padding(lengths, batches) < 0.05 < 0.25 < padding(lengths, in_file_order)
    assert len(batches) <= 3 * len(in_file_order)


def test_blocks_cover_everything_in_order() -> None:
    blocks = over_blocks(2 * BLOCK + 5, World(), list)
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, 5]
    assert sum(blocks, []) == list(range(2 * BLOCK + 5))  # noqa: RUF017
