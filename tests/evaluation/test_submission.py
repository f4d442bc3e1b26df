"""What the results repository takes, by mteb's own reader, and what cannot be submitted."""

import json
from pathlib import Path
from typing import Any

import pytest

from collotype.evaluation.exchange import write_all
from collotype.evaluation.results import Measured, MtebTask
from collotype.evaluation.submission import submit
from collotype.runtime.errors import UserError
from tests.evaluation.test_exchange import metrics

mteb = pytest.importorskip("mteb")
COMMIT = "0123456789" * 4
TASK = MtebTask("VidoreDocVQARetrieval", "abc", "test", {"default": "eng-Latn"})
MODEL = {"sha256": "f" * 64, "backbone": "qwen2-vl", "interaction": "late", "parameters": 2_000, "width": 128}


def evaluated(folder: Path, dataset: str = "vidore-v1/docvqa", task: MtebTask | None = TASK, **facts: Any) -> Path:
    known = {"model": MODEL, "timing": {"total_s": 1.5}, "events": [], "counting": "mteb", "hub": {"me/model": COMMIT}}
    average = Measured("vidore-v1/average", metrics(0.3), "ndcg_at_5")
    one = Measured(dataset, metrics(0.3), "ndcg_at_5", {"default": metrics(0.3)}, known | facts, task)
    write_all(folder, "me/model", "0.1.0", [one, average])
    return folder


def test_mteb_loads_what_was_written(tmp_path: Path) -> None:
    done = submit(evaluated(tmp_path / "results"), tmp_path / "clone")
    place = tmp_path / "clone" / "results" / "me__model" / COMMIT
    assert sorted(done.written) == [place / "VidoreDocVQARetrieval.json", place / "model_meta.json"]
    assert not done.left_out
    (model,) = mteb.ResultCache(tmp_path / "clone").load_results(require_model_meta=True).model_results
    assert (model.model_name, model.model_revision) == ("me/model", COMMIT)
    assert [(one.task_name, one.get_score()) for one in model.task_results] == [("VidoreDocVQARetrieval", 0.3)]
    assert submit(tmp_path / "results", tmp_path / "clone").written == [], "it is all there"


def test_the_models_description_is_mtebs(tmp_path: Path) -> None:
    """Every key that mteb writes, and no other; and its own check accepts the values."""
    submit(evaluated(tmp_path / "results"), tmp_path)
    found = json.loads((tmp_path / "results" / "me__model" / COMMIT / "model_meta.json").read_text())
    assert set(found) == set(mteb.models.ModelMeta.create_empty().to_dict())
    meta = mteb.models.ModelMeta(**{name: value for name, value in found.items() if name != "is_cross_encoder"})
    assert (meta.n_parameters, meta.embed_dim, meta.model_type) == (2_000, 128, ["late-interaction"])
    assert meta.similarity_fn_name.value == "MaxSim" and meta.open_weights


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": None, "dataset": "qa/mine"}, "qa/mine: is no dataset that mteb knows"),
        ({"hub": {}}, "me/model has no revision on the hub"),
        ({"counting": "vidore-benchmark"}, "not of mteb"),
        (
            {"events": [{"kind": "size-differs", "count": 3, "note": "3 pages, published are 500"}]},
            "3 pages, published",
        ),
    ],
)
def test_what_cannot_be_submitted_is_refused_in_a_sentence(changes: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        submit(evaluated(tmp_path / "results", **changes), tmp_path / "clone")
    assert not (tmp_path / "clone").exists()


def test_what_can_be_is_written_beside_what_is_left_out(tmp_path: Path) -> None:
    evaluated(tmp_path / "results" / "one")
    evaluated(tmp_path / "results" / "one", "qa/mine", None)
    done = submit(tmp_path / "results", tmp_path / "clone")
    assert done.left_out == ["qa/mine: is no dataset that mteb knows"] and len(done.written) == 2


def test_another_result_and_a_completed_description_stay(tmp_path: Path) -> None:
    submit(evaluated(tmp_path / "results"), tmp_path / "clone")
    place = tmp_path / "clone" / "results" / "me__model" / COMMIT
    (place / "model_meta.json").write_text("{}")
    assert submit(tmp_path / "results", tmp_path / "clone").written == []
    (place / "VidoreDocVQARetrieval.json").write_text("{}")
    with pytest.raises(UserError, match="contains a different result"):
        submit(tmp_path / "results", tmp_path / "clone")


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no result files"):
        submit(tmp_path, tmp_path / "clone")
