"""Scores and distances of pages of any lengths, beside the plainest computation of them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from collotype.search.quantization import pack_boxes, pack_signs, pack_vectors, unpack_boxes
from collotype.search.scoring import exact, hamming

COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=12)


@settings(max_examples=40)
@given(counts=COUNTS, dim=st.sampled_from([1, 7, 64, 100]), block=st.integers(1, 30), seed=st.integers(0, 9))
def test_any_cut_into_blocks_gives_the_same_scores_and_distances(counts, dim, block, seed) -> None:
    random = np.random.default_rng(seed)
    query, other = (random.standard_normal((length, dim)).astype(np.float32) for length in (3, 2))
    pages = [random.standard_normal((count, dim)).astype(np.float32) for count in counts]
    sizes = exact.BLOCK, hamming.BLOCK
    exact.BLOCK = hamming.BLOCK = block
    try:
        found = exact.scores([query, other], [(rows, 2.0) for rows in pages])
        starts = np.concatenate([[0], np.cumsum(counts)])
        asked = np.array([place for place, count in enumerate(counts) if count and random.random() < 0.7], int)
        signs = pack_signs(np.concatenate(pages))
        apart = hamming.distances(pack_signs(query), signs, starts, asked)
    finally:
        exact.BLOCK, hamming.BLOCK = sizes
    plain = [
        [2 * (each @ rows.T).max(axis=1).sum() if len(rows) else -np.inf for rows in pages] for each in (query, other)
    ]
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-5)
    differ = [((query[:, None] > 0) != (pages[place][None] > 0)).sum(axis=2).min(axis=1).sum() for place in asked]
    assert apart.tolist() == differ


def test_int8_keeps_the_largest_number_and_zeros() -> None:
    rows = np.array([[0.5, -0.25, 0], [0.1, 0, -0.5]], np.float32)
    packed, scale = pack_vectors(rows, "int8")
    assert packed.dtype == np.int8 and np.abs(packed * scale - rows).max() <= scale / 2
    assert pack_vectors(np.zeros((0, 3), np.float32), "int8")[1] == 1
    assert not pack_vectors(np.zeros((2, 3), np.float32), "int8")[0].any()


def test_boxes_come_back_within_a_65535th_and_nowhere_stays_nowhere() -> None:
    boxes = np.array([[0, 0.1, 0.5, 1], [np.nan] * 4, [-0.1, 0, 1.2, 1]], np.float32)
    back = unpack_boxes(pack_boxes(boxes))
    np.testing.assert_allclose(back[0], boxes[0], atol=1e-5)
    assert np.isnan(back[1]).all()
    assert back[2].tolist() == [0, 0, 1, 1]
