"""Two sides: what differs, in the order of what it is likely to do, and what a difference of results means."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from collotype.preflight.difference_effects import EFFECTS, compare_runs
from collotype.report.comparables import ComparisonSide, dotted, read_side
from collotype.report.compare import SEVERITIES, Comparison, Effect, by_effect, compare, same
from collotype.report.html import write_comparison
from collotype.runtime.errors import UserError


def side(name: str, facts: dict[str, Any], **changes: Any) -> ComparisonSide:
    return ComparisonSide(
        name=name, place=name, facts={"recipe": facts}, **{"complete": True, "results": {}, **changes}
    )


def altered(trained: Path, folder: Path, **changes: Any) -> Path:
    """A copy of a run's record with other values at dotted places."""
    record = json.loads((trained / "record.json").read_text())
    for key, value in changes.items():
        *path, last = key.split("__")
        here = record
        for part in path:
            here = here[part]
        here[last] = value
    folder.mkdir()
    (folder / "record.json").write_text(json.dumps(record))
    return folder


def test_a_run_differs_from_itself_in_nothing(trained: Path) -> None:
    assert compare_runs(trained, trained).differences == []


def test_the_launchers_negatives_stand_above_versions_and_cuts(trained: Path, tmp_path: Path) -> None:
    """The documented failure: same recipe, other launcher."""
    other = altered(
        trained,
        tmp_path / "other",
        plan__negatives_per_query=3,
        plan__processes=8,
        environment__python="3.12.0",
        recipe__train__seed=7,
        recipe__name="again",
    )
    found = compare_runs(trained, other).differences
    assert [(one.key, one.severity) for one in found] == [
        ("negatives_per_query", "will differ"),
        ("train.seed", "may differ"),
        ("python", "note"),
        ("processes", "note"),
    ]
    assert found[0].values == (7, 3) and "issue 124" in found[0].source


def test_the_more_precise_effect_counts() -> None:
    effects = (
        Effect(keys=("train",), severity="may differ", why="anything"),
        Effect(keys=("train.workers",), severity="note", why="nothing"),
    )
    one, other = ({"train.workers": n, "train.seed": n, "training": n} for n in (1, 2))
    found = by_effect(side("a", one), side("b", other), effects)
    assert [(one.key, one.why) for one in found] == [
        ("train.seed", "anything"),
        ("training", ""),
        ("train.workers", "nothing"),
    ]


def test_every_effect_is_one_of_a_severity_and_says_why() -> None:
    for effect in EFFECTS:
        assert effect.severity in SEVERITIES and effect.why and effect.keys
    keys = [key for effect in EFFECTS for key in effect.keys]
    assert len(keys) == len(set(keys)), "a key with two effects"


def test_of_a_published_result_only_what_it_states_is_held_against_a_run(trained: Path) -> None:
    found = compare_runs(trained, "published:colpali-paper")
    keys = {one.key: one.values for one in found.differences}
    assert keys["train.optimizer.name"] == ("adamw", "paged_adamw_8bit")
    assert keys["negatives_per_query"] == (7, 31)
    assert keys["model.lora.rank"] == (None, 32)
    assert "model.backbone" not in keys, "the same"
    assert not {"train.seed", "precision", "threads", "initial_sha256"} & set(keys), "nobody said"


def test_the_failed_replication_differs_from_the_paper_in_its_negatives() -> None:
    found = compare_runs("published:bipali-paper", "published:bipali-torchrun")
    assert [one.key for one in found.differences] == ["negatives.scope", "negatives_per_query"]
    left, right = found.results["vidore-v1/average"]["ndcg_at_5"]
    assert left - right > found.noise("vidore-v1/average", "ndcg_at_5") == 0.02


def test_noise_is_the_larger_known_one() -> None:
    results = {"a/b": {"mrr": 0.5, "top1": 0.5}}
    one = side("one", {}, results=results, noise={"a/b": {"mrr": 0.01}})
    other = side("other", {}, results=results, noise={"a/b": {"mrr": 0.03}})
    found = Comparison(one, other, [])
    assert found.noise("a/b", "mrr") == 0.03 and found.noise("a/b", "top1") is None
    assert found.as_dict()["noise"] == {"a/b": {"mrr": 0.03}}


def test_the_difference_has_an_interval_over_the_queries(trained: Path, tmp_path: Path) -> None:
    found = compare_runs(trained, trained)
    assert found.intervals["sheets/held-out"]["ndcg_at_5"] == (0.0, 0.0)
    assert found.interval("sheets/held-out", "mrr") == "[+0.000, +0.000]"
    assert json.loads(json.dumps(found.as_dict()))["intervals"]["sheets/held-out"]["mrr"] == [0.0, 0.0]
    shown = subprocess.run(
        [sys.executable, "-m", "collotype", "compare", trained, trained], capture_output=True, text=True, check=True
    ).stdout
    assert "95 %" in shown and "+0.000" in shown
    assert "95 % interval" in write_comparison(found, tmp_path / "page.html").read_text()
    without = altered(trained, tmp_path / "other")
    assert compare_runs(trained, without).intervals == {}, "a run of before, or whose files are gone"


def test_datasets_that_only_one_measured_are_no_differences_of_data(trained: Path, tmp_path: Path) -> None:
    record = json.loads((trained / "record.json").read_text())
    results = {"sheets/held-out": record["results"]["sheets/held-out"]}
    other = altered(trained, tmp_path / "other", results=results)
    found = compare_runs(trained, other)
    assert found.differences == [] and list(found.results) == ["sheets/held-out"]
    changed = {**record["data"], "sheets/held-out": {**record["data"]["sheets/held-out"], "queries": 1}}
    (difference,) = compare_runs(trained, altered(trained, tmp_path / "third", data=changed)).differences
    assert (difference.section, difference.key) == ("data", "data.sheets/held-out.queries")


def test_a_runs_curve_is_over_epochs_and_its_noise_is_its_expectations(trained: Path) -> None:
    found = read_side(trained)
    points = found.curves["sheets/held-out/ndcg_at_5"]
    plan = json.loads((trained / "record.json").read_text())["plan"]
    assert [epoch for epoch, _ in points] == pytest.approx([plan["epochs"] / 2, plan["epochs"]])
    assert points[-1][1] == found.results["sheets/held-out"]["ndcg_at_5"]
    assert found.noise == {"sheets/held-out": {"ndcg_at_5": 0.01}} and len(found.losses) == 6


def test_the_page_has_curves_of_both_over_each_other(trained: Path, tmp_path: Path) -> None:
    page = write_comparison(compare_runs(trained, trained), tmp_path / "page.html").read_text()
    # results, two datasets' curves, the loss
    assert page.count("<svg ") == 4 and "desk-colpali (second)" in page
    assert "<script" not in page and 'href="http' not in page


def test_a_study_of_several_variants_is_no_side(tmp_path: Path) -> None:
    variants = [{"runs": [{"folder": f"{name}/seed-1"}]} for name in "ab"]
    (tmp_path / "study.json").write_text(json.dumps({"recipe": {"study": {"seeds": 1}}, "variants": variants}))
    with pytest.raises(UserError, match=r"a study of several variants; .*such as .*a/seed-1, .*b/seed-1"):
        compare(tmp_path, tmp_path, ())


def test_one_source_is_written_as_it_may_be_in_a_recipe() -> None:
    assert dotted({"train": [{"path": "x"}], "only": ["a"], "two": [{"a": 1}, {"a": 2}]}, "data") == {
        "data.train.path": "x",
        "data.only": ["a"],
        "data.two": [{"a": 1}, {"a": 2}],
    }


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [(1.0, 1, True), (0.99999, 1, True), (0.999, 1.0, False), (None, 0, False), ("a", "a", True), (True, True, True)],
)
def test_rounding_is_no_difference(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal
