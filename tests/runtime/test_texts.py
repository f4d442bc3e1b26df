"""Packed texts."""

from hypothesis import given
from hypothesis import strategies as st

from collotype.runtime.texts import Texts


@given(st.lists(st.lists(st.text(max_size=9), max_size=4).map(tuple), max_size=9))
def test_packed_texts_are_the_texts(rows: list[tuple[str, ...]]) -> None:
    texts = Texts(rows)
    assert [texts[row] for row in range(len(texts))] == rows


def test_digests_tell_texts_and_rows_apart() -> None:
    different = [[("ab", "c")], [("a", "bc")], [("ab",), ("c",)], [("abc",)], []]
    assert len({Texts(rows).digest() for rows in different}) == len(different)
    assert Texts([("ab", "c")]).digest() == Texts(iter([("ab", "c")])).digest()
