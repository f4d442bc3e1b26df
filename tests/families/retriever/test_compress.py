"""The frontier: forms measured as they are searched, Pareto points marked, and the best that fits an index."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from collotype.cli.budget import Form, best_form, form_within, number_of_bytes
from collotype.cli.hybrid_index import open_or_create
from collotype.families import task_for
from collotype.families.retriever.benchmarks.qa import read_qa
from collotype.families.retriever.checkpoints import native
from collotype.families.retriever.compact import rounded
from collotype.families.retriever.compress import Compressed, compress, marked
from collotype.families.retriever.token_pooling import Pooling
from collotype.recipe import load_recipe
from collotype.report.frontier import frontier
from collotype.runtime.errors import UserError
from collotype.search.quantization import pack_vectors
from tests.families.retriever.benchmarks.parquet_sets import sheets_as_qa


def row(quality: float, size: float, cpu_ms: float = 1.0, **form: object) -> Compressed:
    shape = {"queries": "", "dim": 128, "method": None, "factor": 1, "stored": "fp16", **form}
    return Compressed(
        dataset="d", model="m", vectors_per_page=1, bytes_per_page=size, query_cpu_ms=cpu_ms,
        metrics={"q": quality}, headline="q", difference=0.0, **shape,
    )  # fmt: skip


def test_a_point_is_marked_unless_another_is_as_good_and_smaller_or_faster() -> None:
    rows = [row(0.9, 100), row(0.9, 50), row(0.8, 50), row(0.8, 50, 0.5), row(0.7, 10), row(0.7, 10)]
    assert [one.pareto for one in marked(rows)] == [False, True, False, True, True, True]


def test_rounded_vectors_are_those_that_an_index_finds_again() -> None:
    vectors = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    packed, scale = pack_vectors(vectors.numpy(), "int8")
    torch.testing.assert_close(rounded(vectors, "int8"), torch.from_numpy(packed * scale).float())
    signs = rounded(vectors, "bits")
    assert torch.equal(signs > 0, vectors > 0) and signs.norm(dim=1).allclose(torch.ones(5))
    assert rounded(vectors[:0], "int8").shape == (0, 16)


def test_every_form_is_measured_and_an_index_takes_the_best_that_fits(tmp_path: Path) -> None:
    model = task_for(load_recipe("desk-colpali")).build()
    native.write(model, tmp_path / "model")
    changes = {"distill.teacher": str(tmp_path / "model")}
    student = task_for(load_recipe("desk-distill", changes)).build()
    benchmark = read_qa("qa/sheets", sheets_as_qa(tmp_path / "set", 12))
    forms = {"dims": [64], "stored": ["fp16", "int8", "bits"], "students": [("runs/small/model", student)]}
    timed: list[str] = []

    def encode_of(name: str, _: object) -> Callable[[Sequence[str]], object]:
        return lambda queries: timed.append(name) or student.encode_queries(queries)

    rows = compress(model, [benchmark], [Pooling(factor=3, method="fast")], **forms, encode_of=encode_of)
    assert set(timed) == {"runs/small/model"}, "as a search reads them"
    assert len({(one.queries, one.dim, one.factor, one.stored) for one in rows}) == len(rows) == 2 * 2 * 2 * 3
    sizes = {(one.dim, one.factor, one.stored): one.bytes_per_page for one in rows}
    assert sizes[128, 1, "fp16"] == 42 * 256 and sizes[64, 3, "int8"] == 14 * 64 and sizes[64, 3, "bits"] == 14 * 8
    assert any(one.pareto for one in rows) and all(one.query_cpu_ms > 0 for one in rows)
    kept = [asdict(one) for one in rows]
    assert_each_reader_and_pareto_point_is_named(frontier(kept), kept)
    (tmp_path / "model" / "frontier.json").write_text(json.dumps(kept))
    form = form_within("1 KB", str(tmp_path / "model"), None)
    assert (form.dim, form.pool_factor, form.precision) == (64, 3, "int8")
    asked = {"model": str(tmp_path / "model"), "dim": form.dim}
    index, _ = open_or_create(tmp_path / "index", asked, form.precision, form.pool_factor, True, form)
    assert (index.manifest.dim, index.manifest.pool_factor, index.manifest.precision) == (64, 3, "int8")
    other = Form(model="f" * 64, dim=64, pool_factor=3, precision="int8")
    with pytest.raises(UserError, match=r"--budget was measured with model ffffffffffff"):
        open_or_create(tmp_path / "other", asked, "int8", 3, True, other)


def assert_each_reader_and_pareto_point_is_named(svg: str, rows: list[dict]) -> None:
    shown = re.sub(r"<[^>]*>", "", svg)
    assert "queries by the model, " in shown and "queries by small, " in shown and "sign bits" in shown
    assert 1 <= len(re.findall(r"\d+ dims", shown)) <= sum(row["pareto"] for row in rows)


def test_no_name_in_the_plot_covers_another_or_a_point() -> None:
    def row(quality: float, size: int, dim: int) -> dict:
        about = {"queries": "", "query_cpu_ms": 1.0, "stored": "fp16", "factor": 1, "dim": dim, "pareto": True}
        return {**about, "bytes_per_page": size, "headline": "ndcg_at_5", "metrics": {"ndcg_at_5": quality}}

    crowded = [row(0.0, 1, 9), *(row(0.9 + place / 1000, 1000 + place, 100 + place) for place in range(30))]
    assert len(re.findall(r"\d+ dims", frontier(crowded))) < 15
    apart = [row(0.3 * place, 10**place, 100 + place) for place in range(1, 4)]
    assert len(re.findall(r"\d+ dims", frontier(apart))) == 3


def test_the_best_quality_is_taken_and_of_equals_the_smallest() -> None:
    rows = [
        asdict(one)
        for one in (
            row(0.9, 100), row(0.8, 40, dim=64), row(0.8, 20, stored="int8"), row(0.99, 5, stored="bits"),
            row(0.95, 5, queries="student"), row(0.99, 30, method="hierarchical", factor=3),
        )
    ]  # fmt: skip
    assert best_form(rows, 1000).dim == 128 and best_form(rows, 50).precision == "int8"
    with pytest.raises(UserError, match=r"No measured form has 10 bytes a page or fewer; the smallest has 20"):
        best_form(rows, 10)


def test_sizes_are_read_and_what_is_none_is_refused(tmp_path: Path) -> None:
    assert [number_of_bytes(text) for text in ("20KB", "20 kib", "1.5MB", "300")] == [20_000, 20_480, 1.5e6, 300]
    with pytest.raises(UserError, match=r"--budget is 'small'"):
        number_of_bytes("small")
    with pytest.raises(UserError, match=r"collotype compress MODEL --out"):
        form_within("20KB", str(tmp_path), None)


def test_a_student_of_another_model_is_refused(tmp_path: Path) -> None:
    native.write(task_for(load_recipe("desk-colpali")).build(), tmp_path / "model")
    student = task_for(load_recipe("desk-distill", {"distill.teacher": str(tmp_path / "model")})).build()
    other = task_for(load_recipe("desk-colpali", {"train.seed": 1})).build()
    with pytest.raises(UserError, match=r"The student s was distilled from another model"):
        compress(other, [], [], students=[("s", student)])
