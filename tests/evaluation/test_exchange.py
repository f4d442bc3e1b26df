"""Result files for other tools' readers."""

import json
from pathlib import Path

import pytest

from collotype.evaluation.exchange import write_all
from collotype.evaluation.results import Measured, MtebTask

LANGUAGES = {"english": "eng-Latn", "french": "fra-Latn"}
FACTS = {"model": {"sha256": "0123456789abcdef"}, "timing": {"total_s": 1.5}, "events": []}


def metrics(value: float) -> dict[str, float]:
    return {"ndcg_at_5": value, "ndcg_at_10": value + 0.1, "mrr_at_10": value, "mrr": value}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    task = MtebTask("Vidore3HrRetrieval", "abc", "test", LANGUAGES)
    subsets = {"english": metrics(0.123456789), "french": metrics(0.5)}
    one = Measured("vidore-v3/hr", metrics(0.3), "ndcg_at_10", subsets, FACTS, task)
    write_all(tmp_path, "me/model", "0.1.0", [one, Measured("vidore-v3/average", metrics(0.3), "ndcg_at_10")])
    return tmp_path


RESULT = Path("mteb/results/me__model/0123456789ab/Vidore3HrRetrieval.json")


def test_mtebs_task_result(folder: Path) -> None:
    """The keys its reader demands (mteb 2.26, results/task_result.py)."""
    found = json.loads((folder / RESULT).read_text())
    assert (found["task_name"], found["dataset_revision"], found["mteb_version"]) == ("Vidore3HrRetrieval", "abc", None)
    assert found["evaluation_time"] == 1.5
    english, french = found["scores"]["test"]
    assert english["main_score"] == english["ndcg_at_10"] == 0.22346, "v3's headline, rounded as mteb rounds"
    assert (english["hf_subset"], english["languages"]) == ("english", ["eng-Latn"])
    assert (french["hf_subset"], french["main_score"]) == ("french", 0.6)
    meta = json.loads((folder / RESULT).with_name("model_meta.json").read_text())
    assert (meta["name"], meta["revision"]) == ("me/model", "0123456789ab")


def test_mteb_reads_its_file(folder: Path) -> None:
    mteb = pytest.importorskip("mteb")
    found = mteb.TaskResult.from_disk(folder / RESULT)
    assert found.get_score() == pytest.approx((0.22346 + 0.6) / 2)


def test_vidore_benchmarks_merged_metrics(folder: Path) -> None:
    found = json.loads((folder / "vidore-benchmark" / "me_model_metrics.json").read_text())
    assert set(found) == {"metadata", "metrics"} and "timestamp" in found["metadata"]
    assert found["metrics"] == {"vidore-v3/hr": {"ndcg_at_5": 0.3, "ndcg_at_10": 0.4, "mrr_at_10": 0.3}}


def test_our_own_files_hold_everything(folder: Path) -> None:
    found = json.loads((folder / "vidore-v3" / "hr.json").read_text())
    assert found["subsets"]["english"]["ndcg_at_5"] == 0.123456789 and found["timing"]["total_s"] == 1.5
    assert json.loads((folder / "vidore-v3" / "average.json").read_text())["metrics"] == metrics(0.3)
