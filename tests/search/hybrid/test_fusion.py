"""Several rankings as one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collotype.runtime.errors import UserError
from collotype.search.hybrid import fitting, fusion
from collotype.search.hybrid.fusion import Ranking, Weights, fused
from collotype.search.judgments import JudgedQuery

BY_RANKS, BY_SCORES = Weights(method=fusion.BY_RANKS), Weights(method=fusion.CALIBRATED)
PAGES = [("a.pdf", number) for number in range(1, 31)]


def ranking(name: str, pages: list, scores: list[float] | None = None, unseen: tuple = ()) -> Ranking:
    values = np.array(scores or [1 / place for place in range(1, len(pages) + 1)], float)
    return Ranking(name, pages, values, lambda page: page not in unseen)


def order(rankings: list[Ranking], weights: Weights | None = None) -> list:
    return [page for page, _ in fused(rankings, weights or BY_RANKS)]


def test_what_both_have_high_comes_first_and_scores_are_parts_of_the_best() -> None:
    one, other = ranking("words", PAGES[:3]), ranking("pictures", [PAGES[1], PAGES[4], PAGES[0]])
    for weights, least in ((BY_RANKS, 0.9), (BY_SCORES, 0.3)):
        found = fused([one, other], weights)
        assert found[0][0] == PAGES[1] and least < found[0][1] < 1
        assert fused([one, one], weights)[0] == (PAGES[0], 1.0)


def test_a_part_that_is_sure_decides_and_one_that_knows_little_says_little() -> None:
    words = ranking("words", PAGES[:4], [3.0, 2.9, 2.4, 0.5])
    sure = Ranking("BM25", PAGES[2:4], np.array([4.0, 1.0, 0.0, 0.0]), lambda page: True, deviation=4.5 / 6)
    unsure = Ranking("BM25", PAGES[2:4], np.array([0.2, 0.1, 0.0, 0.0]), lambda page: True, deviation=4.5 / 6)
    assert order([words, sure], BY_SCORES)[0] == PAGES[2]
    assert order([words, unsure], BY_SCORES)[0] == PAGES[0]


def test_a_part_whose_best_page_is_no_better_than_chance_says_little() -> None:
    chance = np.sort(np.random.default_rng(3).normal(size=300))[::-1]
    noise = Ranking("pictures", PAGES, chance, lambda page: True)
    # what it knows, it knows no better than by three deviations
    words = ranking("words", [PAGES[9], *PAGES[:9]], [3.1, *np.linspace(0.9, -0.9, 9)])
    assert order([noise, words], BY_SCORES)[0] == PAGES[9]
    sure = replace(noise, scores=np.concatenate([[9.0], chance[1:]]))
    assert order([sure, words], BY_SCORES)[0] == PAGES[0]


def test_a_page_that_one_cannot_see_is_judged_as_one_in_its_middle() -> None:
    words = ranking("words", PAGES[:9], unseen=(PAGES[20],))
    pictures = ranking("pictures", [PAGES[20], PAGES[21], PAGES[8]])
    found = order([words, pictures])
    assert found.index(PAGES[20]) < found.index(PAGES[21]), "the second is seen by words, and is not among their best"
    assert found[0] == PAGES[8] or found[0] == PAGES[20]


@given(st.permutations(PAGES[:8]), st.permutations(PAGES[:8]), st.sampled_from(fusion.METHODS))
def test_the_order_of_the_parts_does_not_matter_and_nothing_is_lost(first: list, second: list, method: str) -> None:
    parts = [ranking("one", first[:6]), ranking("other", second[:5])]
    weights = Weights(method=method)
    assert order(parts, weights) == order(parts[::-1], weights)
    assert sorted(order(parts, weights)) == sorted({*first[:6], *second[:5]})


def test_a_part_that_found_nothing_takes_no_part() -> None:
    one, none = ranking("words", PAGES[:4]), Ranking("BM25", [], np.empty(0), lambda page: True)
    for method in fusion.METHODS:
        assert order([one, none], Weights(method=method)) == PAGES[:4]


def judged(count: int) -> list[fitting.Example]:
    """Queries whose right page one part has first, and another anywhere."""
    random, examples = np.random.default_rng(0), []
    for number in range(count):
        right = PAGES[int(random.integers(len(PAGES)))]
        others = [page for page in PAGES if page != right]
        good = [right, *(others[place] for place in random.permutation(29)[:9])]
        noise = [PAGES[place] for place in random.permutation(30)[:10]]
        query = JudgedQuery(f"q{number}", frozenset([right]))
        examples.append(fitting.Example(query, [ranking("good", good), ranking("noise", noise)]))
    return examples


def test_weights_are_found_that_trust_who_is_right() -> None:
    examples = judged(20)
    found = fitting.fit(examples, BY_SCORES)
    assert found.method == fusion.CALIBRATED and found.fitted_on == 20
    assert found.weight("good") > found.weight("noise")
    firsts = [ranked[0] for ranked in fitting.held_out(examples, BY_SCORES)]
    assert all(page in example.query.right for page, example in zip(firsts, examples, strict=True))


def test_few_queries_move_the_usual_weights_little() -> None:
    usual = Weights(of={"noise": 4.0})
    few, many = (fitting.fit(judged(count), usual).weight("noise") for count in (2, 60))
    assert many < few < 0.8, "four fifths of the usual weights"
    # what is right whatever the weights are says nothing of them
    same = [fitting.Example(one.query, [one.rankings[0], replace(one.rankings[0], name="noise")]) for one in judged(9)]
    assert fitting.fit(same, usual).weight("noise") == pytest.approx(0.8)
    assert fitting.fit([], usual) == usual


def test_weights_are_kept_and_a_damaged_file_is_told(tmp_path: Path) -> None:
    assert fusion.read(tmp_path) is None
    weights = Weights(method=fusion.CALIBRATED, of={"words": 0.7}, fitted_on=12)
    fusion.write(tmp_path, weights)
    assert fusion.read(tmp_path) == weights
    for content in ("{", '{"method": "another"}', '{"of": {"words": "much"}}', '{"of": {"words": -1}}', "[]"):
        (tmp_path / fusion.FILE).write_text(content)
        with pytest.raises(UserError, match="is damaged"):
            fusion.read(tmp_path)
