"""`collotype evaluate --stability`: what batch, padding, precision and attention kernel change in scores."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import collotype
from collotype.families.retriever.benchmarks.sheets import sheet_benchmarks
from collotype.families.retriever.stability import Setting, batches, sample, scores, stability


def test_float32_scores_depend_on_nothing_but_the_weights(cli: Callable, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = cli("evaluate", trained / "model", "--stability", "--limit", 6, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads((out / "stability.json").read_text())
    assert found["pages"] == found["queries"] == 6
    assert found["cut_to_several_sizes"]  # all sheets have one
    rows = {row["setting"]: row for row in found["settings"]}
    assert {"fp32, batches of 32, padded", "bf16, batches of 4", "fp32, attention kernel math"} <= set(rows)
    for setting, row in rows.items():
        assert row["distinct_scores"] == 6
        if setting.startswith("fp32"):
            assert row["largest_score_difference"] < 1e-5
            assert (row["queries_with_other_order"], row["metric_difference"]) == (0, 0)
    assert rows["bf16, one at a time"]["compared_with"] == "fp32, one at a time"
    assert rows["bf16, one at a time"]["largest_score_difference"] > 1e-4
    assert rows["bf16, batches of 4"]["compared_with"] == "bf16, one at a time"


def test_what_it_varies_or_has_no_embeddings_is_refused(cli: Callable, trained: Path) -> None:
    for arguments, why in (
        ((trained / "model", "--dtype", "bf16"), "--stability varies what --dtype bf16 would set"),
        (("bm25",), "bm25 is a baseline"),
    ):
        done = cli("evaluate", *arguments, "--stability")
        assert (done.returncode, why in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_batches_are_of_one_length_or_padded_in_the_given_order() -> None:
    lengths = [5, 7, 5, 5, 7]
    assert list(batches(lengths, Setting(2))) == [[0, 2], [3], [1, 4]]
    assert list(batches(lengths, Setting(2, padded=True))) == [[0, 1], [2, 3], [4]]


def test_a_model_that_sees_padding_is_found_out(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure is worth nothing if it cannot fail."""
    model, of = collotype.load(trained / "model"), sample(sheet_benchmarks()[0], 4)
    forward = type(model).forward

    def careless(self, inputs: dict) -> tuple:
        vectors, mask = forward(self, inputs)
        return vectors + 0.01 * (~inputs["attention_mask"]).any(1)[:, None, None], mask

    monkeypatch.setattr(type(model), "forward", careless)
    rows = {row["setting"]: row for row in stability(model, of)}
    assert rows["fp32, batches of 4"]["largest_score_difference"] == 0
    assert rows["fp32, one at a time, padded"]["largest_score_difference"] > 1e-3


def test_a_kernel_that_is_not_here_is_said(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from collotype.families.retriever import stability as module

    model, of = collotype.load(trained / "model"), sample(sheet_benchmarks()[0], 2)
    monkeypatch.setattr(module, "kernels_of", lambda device: [module.FLASH_2])
    monkeypatch.setattr(module, "BATCHES", (1,))
    rows = list(stability(model, of))
    assert [bool(row.get("not_measured")) for row in rows] == [False, False, True] * 2
    assert torch.isfinite(scores(model.float(), of, Setting())).all()  # as it attended before
