"""Evaluation of a retriever: batches, cache and processes change no number."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from collotype.evaluation.exchange import write_all
from collotype.families import load, task_for
from collotype.families.retriever.benchmarks import RetrievalBenchmark, find_suite
from collotype.families.retriever.benchmarks.qa import read_qa
from collotype.families.retriever.cache import Cache
from collotype.families.retriever.checkpoints import native
from collotype.families.retriever.evaluate import VectorSearch, evaluate, retrieve
from collotype.families.retriever.heatmap import similarity_map
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.query_reader import MAX_TEXT_TOKENS
from collotype.recipe import load_recipe
from collotype.recipe.load import load_evaluation
from collotype.runtime.errors import UserError
from collotype.runtime.process import BLOCK
from collotype.runtime.world import World
from tests.families.retriever.benchmarks.parquet_sets import png, sheets_as_qa, write_table
from tests.training.processes import launch


@pytest.fixture(scope="module")
def model() -> Retriever:
    return task_for(load_recipe("desk-colpali")).build()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sheets_as_qa(tmp_path_factory.mktemp("data") / "set", BLOCK + 9)


def count_encoded(model: Retriever, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of every forward pass from now on."""
    counts, forward = [], model.processor.pages
    monkeypatch.setattr(model.processor, "pages", lambda images: (counts.append(len(images)), forward(images))[1])
    return counts


def test_pages_of_mixed_sizes_come_back_in_order_and_unchanged() -> None:
    changes = {"model.backbone": "qwen2-vl", "model.preset": "colqwen2-engine-0.3.4", "train.steps": 1}
    model, rng = task_for(load_recipe("desk-colpali", changes)).build(), random.Random(1)
    sizes = [(rng.randrange(60, 260), rng.randrange(60, 260)) for _ in range(9)]
    images = [Image.effect_noise(size, 90).convert("RGB") for size in sizes]
    together, alone = model.encode_pages(images, 400), [model.encode_pages([image])[0] for image in images]
    assert len({len(vectors) for vectors in alone}) > 4
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=0)


def test_a_pass_stays_within_the_token_budget(model: Retriever, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count_encoded(model, monkeypatch)
    pages = [Image.new("RGB", (96, 96), (shade, 0, 0)) for shade in range(10)]
    model.encode_pages(pages, batch_tokens=3 * model.processor.page_length((96, 96)) + 1)
    assert counts == [3, 3, 3, 1]


def test_the_cache_is_used_until_a_page_or_a_weight_changes(
    model: Retriever, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, data = count_encoded(model, monkeypatch), read_qa("qa/set", folder)
    plain = retrieve(VectorSearch(model), [data])[0]
    counts.clear()
    first = retrieve(VectorSearch(model, Cache(tmp_path)), [data])[0]
    assert sum(counts) == BLOCK + 9
    assert all(path.suffix == ".safetensors" for path in tmp_path.rglob("*") if path.is_file())
    counts.clear()
    again = retrieve(VectorSearch(model, Cache(tmp_path)), [data])[0]
    assert counts == [] and torch.equal(again.scores, first.scores) and torch.equal(again.scores, plain.scores)
    other = read_qa("qa/set", sheets_as_qa(tmp_path / "other", BLOCK + 8))
    retrieve(VectorSearch(model, Cache(tmp_path)), [other])
    assert sum(counts) == BLOCK + 8
    counts.clear()
    weight = model.custom_text_proj.bias
    with torch.no_grad():
        weight[0] += 1e-6
    try:
        retrieve(VectorSearch(model, Cache(tmp_path)), [data])
    finally:
        with torch.no_grad():
            weight[0] -= 1e-6
    assert sum(counts) == BLOCK + 9


def test_a_damaged_block_is_made_anew(
    model: Retriever, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = read_qa("qa/set", folder)
    first = retrieve(VectorSearch(model, Cache(tmp_path)), [data])[0]
    blocks = sorted((tmp_path / "pages").rglob("*.safetensors"))
    blocks[0].write_bytes(blocks[0].read_bytes()[:-7])
    counts, cache = count_encoded(model, monkeypatch), Cache(tmp_path)
    assert torch.equal(retrieve(VectorSearch(model, cache), [data])[0].scores, first.scores)
    assert sum(counts) == BLOCK and cache.misses == 1


def test_in_half_precision_other_vectors_are_kept_and_maps_are_drawn(
    model: Retriever, folder: Path, tmp_path: Path
) -> None:
    data = read_qa("qa/set", folder)
    full = retrieve(VectorSearch(model, Cache(tmp_path)), [data])[0].scores
    with torch.autocast("cpu", torch.bfloat16):
        half = retrieve(VectorSearch(model, Cache(tmp_path)), [data])[0].scores
        drawn = similarity_map(torch.ones(4), torch.eye(4), (2, 2))
    assert half.dtype == torch.float32 and not torch.equal(half, full)
    assert drawn.tolist() == [[1, 1], [1, 1]]


def test_scores_that_are_no_numbers_name_query_and_page(folder: Path) -> None:
    model = task_for(load_recipe("desk-colpali")).build()
    with torch.no_grad():
        model.custom_text_proj.bias.fill_(float("nan"))
    with pytest.raises(UserError, match=r"the score of the query '.* and .*' and page 0 is not finite"):
        retrieve(VectorSearch(model), [read_qa("qa/set", folder)])


SHARDED = """
import json, os, sys
from pathlib import Path
from collotype import families
from collotype.families.retriever.processor import Processor
from collotype.recipe.load import load_evaluation
from collotype.runtime.process import World

folder, model, data = map(Path, sys.argv[1:4])
rank, pages, seen = World.from_environment().rank, Processor.pages, []
Processor.pages = lambda self, images: (seen.append(len(images)), pages(self, images))[1]
queries, asked = Processor.queries, []
Processor.queries = lambda self, texts, cut: (asked.extend(texts), queries(self, texts, cut))[1]
(measured,) = families.evaluate([model], load_evaluation("retriever", suite=f"qa:{data}"), folder / "cache")[str(model)]
facts = {"metrics": measured.metrics, "pages": sum(seen), "queries": asked, "peaks": measured.facts["peak_memory_mib"]}
(folder / f"rank-{rank}.json").write_text(json.dumps(facts))
"""


def test_two_processes_share_the_work_and_find_the_same(model: Retriever, folder: Path, tmp_path: Path) -> None:
    native.write(model, tmp_path / "model")
    done = launch(2, SHARDED, tmp_path / "out", str(tmp_path / "model"), str(folder))
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((tmp_path / "out" / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert [rank["pages"] for rank in ranks] == [BLOCK, 9]
    data = read_qa("qa/set", folder)
    assert sorted(ranks[0]["queries"] + ranks[1]["queries"]) == sorted(data.queries.values())
    (alone,) = evaluate(VectorSearch(load(tmp_path / "model")), [data])
    assert ranks[0]["metrics"] == ranks[1]["metrics"] == alone.metrics
    assert len(ranks[0]["peaks"]) == 2


def test_a_page_that_cannot_be_read_stops_all_processes(model: Retriever, folder: Path, tmp_path: Path) -> None:
    """The image's head is whole, so it is found in the second process only, on decoding."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    native.write(model, tmp_path / "model")
    rows = [row for file in sorted((folder / "data").iterdir()) for row in pq.read_table(file).to_pylist()]
    content = rows[-1]["image"]["bytes"]
    rows[-1]["image"]["bytes"] = content[: len(content) // 2]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet")
    done = launch(2, SHARDED, tmp_path / "out", str(tmp_path / "model"), str(tmp_path / "set.parquet"))
    assert done.returncode != 0 and f"row {BLOCK + 8}, column image cannot be read as an image" in done.stderr


def test_result_files_carry_their_circumstances(model: Retriever, folder: Path, tmp_path: Path) -> None:
    measured = evaluate(VectorSearch(model), find_suite(load_evaluation("retriever", suite=f"qa:{folder}")))
    write_all(tmp_path, "runs/x/model", "0.1.0", measured)
    found = json.loads((tmp_path / "qa" / "set.json").read_text())
    assert found["metrics"] == measured[0].metrics and found["headline"] == "ndcg_at_5"
    assert found["data"]["default"]["pages"] == BLOCK + 9 and len(found["data"]["default"]["sha256"]) == 64
    assert found["model"]["preset"]["name"] == "colpali-paper" and len(found["model"]["sha256"]) == 64
    assert found["timing"]["total_s"] > 0 and found["peak_memory_mib"][0] > 50
    assert found["events"] == [{"kind": "queries-merged", "count": 3, "note": "rows ask what an earlier row asks"}]
    merged = json.loads((tmp_path / "vidore-benchmark" / "runs_x_model_metrics.json").read_text())
    assert set(merged) == {"metadata", "metrics"} and "ndcg_at_5" in merged["metrics"]["qa/set"]


def with_texts(folder: Path, texts: list[str]) -> list[RetrievalBenchmark]:
    columns = {"query": ["red apple", None], "image": [png("red"), png("blue")], "markdown": texts}
    write_table(folder / "set.parquet", columns)
    return [read_qa("qa/set", folder / "set.parquet")]


def test_what_is_looked_at_is_the_image_the_text_or_both(model: Retriever, tmp_path: Path) -> None:
    """As mteb's wrapper of colpali-engine has it for v3.1: the text is embedded as a query, and vectors are joined."""
    texts, cache = ["red apple", ""], Cache(tmp_path / "cache")
    (benchmark,) = with_texts(tmp_path, texts)
    seen = {
        "image": model.encode_pages([benchmark.pages.image(page) for page in range(2)]),
        "text": [model.encode_queries(["red apple"])[0], model.encode_texts([""])[0]],
    }
    seen["both"] = [torch.cat(parts) for parts in zip(seen["text"], seen["image"], strict=True)]
    for looks_at, vectors in seen.items():
        searcher = VectorSearch(model, cache, looks_at=looks_at)
        found = searcher.scores(["red apple"], benchmark.pages, World())
        torch.testing.assert_close(found, model.score(model.encode_queries(["red apple"]), vectors), atol=1e-6, rtol=0)
        (measured,) = evaluate(searcher, [benchmark])
        assert ("markdown" in measured.facts["looks_at"]) == (looks_at != "image")


def test_texts_that_are_not_there_or_cannot_be_joined_are_said(model: Retriever, tmp_path: Path) -> None:
    (benchmark,) = with_texts(tmp_path, ["red apple " * MAX_TEXT_TOKENS, "apple"])
    searcher = VectorSearch(model, looks_at="text")
    assert len(searcher.texts(benchmark.pages)) == 2
    (cut,) = [one for one in searcher.events([]) if one["kind"] == "page texts cut"]
    assert cut["count"] == 1
    with pytest.raises(UserError, match="looks_at is text, but the pages have no text"):
        searcher.texts(replace(benchmark.pages, text=None))
    single = task_for(load_recipe("desk-bipali")).build()
    with pytest.raises(UserError, match="this model has a single vector per page; choose image or text"):
        VectorSearch(single, looks_at="both")
