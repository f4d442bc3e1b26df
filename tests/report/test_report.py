"""Verdict, spread, and a report that needs nothing from outside."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from collotype.recipe import load_recipe
from collotype.report import plots
from collotype.report.seed_statistics import spread
from collotype.report.verdict import in_words, judge
from collotype.runtime.errors import UserError


def expecting(value: float, tolerance: float, metric: str = "mrr"):
    expected = {"dataset": "sheets/held-out", "metric": metric, "value": value, "tolerance": tolerance, "source": "x"}
    return load_recipe("desk-colpali", {"expect": [expected]})


@pytest.mark.parametrize(
    ("measured", "reproduced", "words"),
    [
        (0.52, True, "reproduced: mrr of sheets/held-out is 0.520, expected 0.500 ± 0.030 (0.020 above)"),
        (0.53, True, "reproduced: mrr of sheets/held-out is 0.530, expected 0.500 ± 0.030 (0.030 above)"),
        (0.47, True, "reproduced: mrr of sheets/held-out is 0.470, expected 0.500 ± 0.030 (0.030 below)"),
        (0.46, False, "not reproduced: mrr of sheets/held-out is 0.460, expected 0.500 ± 0.030 (0.040 below)"),
        (0.60, False, "not reproduced: mrr of sheets/held-out is 0.600, expected 0.500 ± 0.030 (0.100 above)"),
    ],
)
def test_the_tolerance_holds_on_both_sides(measured: float, reproduced: bool, words: str) -> None:
    verdict = judge(expecting(0.5, 0.03), {"sheets/held-out": {"mrr": measured}})
    assert verdict["reproduced"] is reproduced
    assert in_words(verdict["comparisons"][0]) == words


def test_what_was_not_measured_is_no_verdict() -> None:
    with pytest.raises(UserError, match="expects ndcg_at_7 on sheets/held-out, but only mrr"):
        judge(expecting(0.5, 0.1, "ndcg_at_7"), {"sheets/held-out": {"mrr": 0.5}})
    assert judge(load_recipe("desk-colpali", {"expect": []}), {}) is None


def test_the_tolerance_is_a_prediction_interval() -> None:
    found = spread([0.70, 0.72, 0.74, 0.71, 0.73])
    assert found["mean"] == pytest.approx(0.72)
    assert found["std"] == pytest.approx(0.0158114, abs=1e-6)
    assert found["tolerance"] == pytest.approx(4.604 * 0.0158114 * (1 + 1 / 5) ** 0.5, abs=1e-5)
    assert spread([0.7])["tolerance"] is None


class Outside(HTMLParser):
    """Collects every address a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.addresses += [value for name, value in attributes if name in ("src", "href") and tag != "a"]


def test_the_report_is_one_file_with_curves_and_heatmaps(trained: Path) -> None:
    page = (trained / "report.html").read_text()
    parser = Outside()
    parser.feed(page)
    assert parser.addresses and all(address.startswith(("data:", "#")) for address in parser.addresses)
    assert not re.search(r"url\((?!#)", page) and "<script" not in page and "@import" not in page
    assert page.count("<svg ") == 3
    assert "not reproduced" in page and "expected 0.900" in page
    # four queries, three pages each, every page with a map for each word
    assert page.count('<div class="strip">') == 12
    assert page.count("data:image/png") > 36


def test_the_report_of_single_vectors_says_why_there_is_no_place(cli, tmp_path: Path) -> None:
    flags = [
        "--set",
        "train.steps=1",
        "--set",
        "train.batch=2",
        "--set",
        "expect=[]",
        "--set",
        "evaluate=[{suite: sheets}]",
    ]
    assert cli("run", "desk-bipali", "--out", tmp_path / "run", *flags).returncode == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "A single vector tells which page matches" in page and page.count('<div class="strip">') == 4


def test_a_skipped_step_without_a_loss_is_left_out_of_the_curve() -> None:
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}, {"step": 3, "loss": 1.0}]
    assert plots.loss_curve(rows).startswith("<svg")
