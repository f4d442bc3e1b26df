"""Training pairs from tables: parquet as `datasets` writes it, JSON lines, PDFs, and what is wrong with them."""

import io
import json
import pickle
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow.parquet import write_table

import collotype
from collotype.families import task_for
from collotype.families.retriever.data import open_source
from collotype.families.retriever.data.table_pairs import TablePairs
from collotype.families.retriever.recipe import PairSource
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError
from collotype.training.loader import load
from collotype.training.sampler import GlobalBatchSampler, RankMicroBatchSampler
from tests.small_pdf import small_pdf

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def image(number: int, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (20 + number, 30), (number, 2 * number % 256, 90)).save(content, kind)
    return content.getvalue()


def pairs(path: Path, **settings) -> TablePairs:
    return open_source(PairSource(source="pairs", path=str(path), **settings))


def write_parquet(path: Path, numbers: Sequence[int], queries: Sequence[str | None] | None = None, **more) -> None:
    """As `datasets` writes images: a struct of bytes and path, in row groups."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "query": pa.array(queries or [f"query {number}" for number in numbers], pa.string()),
        "image": pa.array([{"bytes": image(number), "path": f"{number}.png"} for number in numbers], IMAGE),
    }
    write_table(pa.table({**columns, **more}), path, row_group_size=3)


def write_lines(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A dataset in the layout of the hub: data/SPLIT-NUMBER-of-TOTAL.parquet."""
    write_parquet(tmp_path / "hub/data/train-00000-of-00002.parquet", range(7))
    write_parquet(tmp_path / "hub/data/train-00001-of-00002.parquet", range(7, 12))
    write_parquet(tmp_path / "hub/data/test-00000-of-00001.parquet", range(100, 103))
    return tmp_path / "hub"


def test_a_split_of_the_hubs_layout_is_read_in_order(shards: Path) -> None:
    found = pairs(shards)
    assert len(found) == 12
    for row in (11, 0, 6, 7, 3):
        example = found.example(row, 0)
        assert (example.query, example.page.size, example.negatives) == (f"query {row}", (20 + row, 30), ())
    assert [pair.query for pair in map(lambda row: pairs(shards, split="test").example(row, 0), range(3))] == [
        "query 100",
        "query 101",
        "query 102",
    ]
    assert len(pairs(shards, limit=5)) == 5
    with pytest.raises(UserError, match=r"no parquet files for the split 'validation'; it has test, train"):
        pairs(shards, split="validation")


def test_a_dataset_travels_to_a_loader_process(shards: Path) -> None:
    found = pairs(shards)
    found.example(0, 0)
    assert pickle.loads(pickle.dumps(found)).example(8, 0).page.size == (28, 30)  # noqa: S301 - our own bytes


def test_lines_name_images_and_pages_of_pdfs(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/a.png").write_bytes(image(1))
    (tmp_path / "deck.pdf").write_bytes(small_pdf([["one"], ["two"]]))
    write_lines(
        tmp_path / "pairs.jsonl",
        {"query": "an image", "image": "pages/a.png"},
        {"query": "a page", "document": "deck.pdf", "page": 2},
        {"query": "both", "image": {"document": "deck.pdf", "page": 1}, "negatives": ["pages/a.png", "deck.pdf"]},
    )
    found = pairs(tmp_path, negatives=2, page_px=120)
    assert [found.example(row, 0).page.size for row in range(3)] == [(21, 30), (120, 80), (120, 80)]
    assert [page.size for page in found.example(2, 0).negatives] == [(21, 30), (120, 80)]
    assert found.example(0, 0).negatives == found.example(1, 0).negatives == ()
    assert found.identities(1) != found.identities(2)


def test_a_query_with_several_right_pages_is_shown_all_of_them_over_the_epochs(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(image(number))
    names = [f"{number}.png" for number in range(4)]
    file = write_lines(tmp_path / "p.jsonl", {"query": "q", "image": names[:2], "negatives": names[2:]})
    found = pairs(file, negatives=1)
    shown = [found.example(0, epoch) for epoch in range(20)]
    assert {example.page.width for example in shown} == {20, 21}
    assert {example.negatives[0].width for example in shown} == {22, 23}
    assert found.example(0, 3).page.width == pairs(file, negatives=1).example(0, 3).page.width


def test_a_run_on_several_kinds_of_sources(shards: Path, tmp_path: Path) -> None:
    """What is cut is in the record, no query is refused afterwards, and loader processes read the same."""
    pdf, long = tmp_path / "deck.pdf", "a very long query " * 200
    pdf.write_bytes(small_pdf([["one"], ["two"]], [("The first page", 1), ("The second page", 2)]))
    lists = pa.array([[{"path": str(pdf)}], []])
    write_parquet(tmp_path / "long/train.parquet", [40, 41], ["short", long], negatives=lists)
    sources = [
        {"source": "sheets", "queries": 12},
        {"source": "pairs", "path": str(shards)},
        {"source": "pairs", "path": str(tmp_path / "long"), "negatives": 1, "page_px": 90},
        {"source": "pdf-outline", "path": str(pdf), "page_px": 90},
    ]
    data = {"train": sources, "distinct": True}
    changes = {"train.steps": 2, "train.batch": 14, "evaluate": [], "expect": [], "data": data}
    recipe = load_recipe("desk-colpali", changes)
    run = collotype.run(recipe, out=tmp_path / "run")
    event = {"kind": "queries cut to 512 tokens", "source": 2, "count": 1, "first row": 1}
    assert event in run.record["events"]
    assert [source["examples"] for source in run.record["data"]["train"]["sources"]] == [12, 12, 2, 2]
    assert run.record["plan"]["negatives_per_query"] == 14
    model = run.model()
    assert len(model.encode_queries(["Zebras, 猫 and moonwalks"])) == 1
    with pytest.raises(UserError, match="tokens, more than this model's limit of 512"):
        model.encode_queries([long])
    task = task_for(recipe)
    cut = RankMicroBatchSampler(GlobalBatchSampler(task.datasets(), 14, 42, distinct=True), 0, 1, 7, 1, 2)
    alone, beside = (list(load(task, task.datasets(), cut, workers)) for workers in (0, 2))
    torch.testing.assert_close(alone, beside, rtol=0, atol=0)


def test_negatives_within_parquet_and_by_id(tmp_path: Path) -> None:
    lists = [[{"bytes": image(50 + n), "path": None}] * (n % 3) for n in range(6)]
    write_parquet(tmp_path / "a/train.parquet", range(6), negatives=pa.array(lists, pa.list_(IMAGE)))
    found = pairs(tmp_path / "a", negatives=2)
    assert [[page.width for page in found.example(row, 0).negatives] for row in range(3)] == [[], [71], [72, 72]]
    # ids into the table itself, as in llamaindex/vdr-multilingual-train
    ids, others = [f"p{n}" for n in range(6)], [[f"p{(n + 1) % 6}"] for n in range(6)]
    write_parquet(tmp_path / "b/en/train-0.parquet", range(6), id=pa.array(ids), negatives=pa.array(others))
    source = {"negatives": 1, "corpus": str(tmp_path / "b"), "subset": "en", "corpus_id_column": "id"}
    assert pairs(tmp_path / "b", **source).example(5, 0).negatives[0].width == 20


def test_rows_that_number_the_pages_of_a_corpus(tmp_path: Path) -> None:
    write_parquet(tmp_path / "corpus/train.parquet", range(6))
    lines = {"query": "q", "positive_passages": [4], "negative_passages": [0, 2]}
    file = write_lines(tmp_path / "queries.jsonl", lines, {**lines, "negative_passages": [6]})
    names = {"image_column": "positive_passages", "negatives_column": "negative_passages", "negatives": 2}
    found = pairs(file, corpus=str(tmp_path / "corpus"), **names)
    example = found.example(0, 0)
    assert (example.page.width, [page.width for page in example.negatives]) == (24, [20, 22])
    with pytest.raises(UserError, match=r"queries.jsonl, line 2 names 6, which is not a page of the corpus \(6 pages"):
        found.fingerprint()


@pytest.mark.parametrize(
    ("ids", "negatives", "words"),
    [
        (
            pa.array([0.0, 1.0, 2.0, 3.0]),
            pa.array([[1], [2], [3], [0]]),
            "row 0, column id is '0.0' (float), not an id",
        ),
        (pa.array(["a", "b", None, "d"]), pa.array([["a"]] * 4), "row 2, column id is empty, not an id"),
        (pa.array(["a", "b", "a", "d"]), pa.array([["a"]] * 4), "column id is 'a', as is"),
        (pa.array([1, 2, 3, 4]), pa.array([[1.5], [2.0], [3.0], [4.0]]), "row 0 names 1.5 (float), but an id is"),
        (pa.array([1, 2, 3, 4]), pa.array([["1"], ["2"], ["9"], ["4"]]), "row 2 names '9', which is not a page"),
    ],
)
def test_ids_of_a_corpus_are_checked_and_never_cast(
    ids: pa.Array, negatives: pa.Array, words: str, tmp_path: Path
) -> None:
    write_parquet(tmp_path / "b/train-0.parquet", range(4), id=ids, negatives=negatives)
    source = {"negatives": 1, "corpus": str(tmp_path / "b"), "corpus_id_column": "id"}
    with pytest.raises(UserError) as told:
        pairs(tmp_path / "b", **source).fingerprint()
    assert words in str(told.value)


def test_ids_that_are_numbers_here_and_texts_there_are_the_same(tmp_path: Path) -> None:
    others = pa.array([["2"], ["3"], ["4"], ["1"]])
    write_parquet(tmp_path / "b/train-0.parquet", range(4), id=pa.array([1, 2, 3, 4]), negatives=others)
    source = {"negatives": 1, "corpus": str(tmp_path / "b"), "corpus_id_column": "id"}
    assert pairs(tmp_path / "b", **source).example(0, 0).negatives[0].width == 21


def test_the_fingerprint_follows_the_content_and_not_the_place(shards: Path, tmp_path: Path) -> None:
    before = pairs(shards).fingerprint()
    moved = shards.rename(tmp_path / "elsewhere")
    assert pairs(moved).fingerprint() == before
    assert pairs(moved, limit=5).fingerprint() != before != pairs(moved, split="test").fingerprint()
    write_parquet(moved / "data/train-00001-of-00002.parquet", range(7, 12), ["other"] * 5)
    assert pairs(moved).fingerprint() != before


def test_the_fingerprint_of_lines_has_the_sizes_of_their_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(image(1))
    file = write_lines(tmp_path / "p.jsonl", {"query": "q", "image": "a.png"})
    before = pairs(file).fingerprint()
    assert pairs(file).fingerprint() == before
    (tmp_path / "a.png").write_bytes(image(200))
    assert pairs(file).fingerprint() != before


def test_equal_images_are_one_page_wherever_they_stand(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [1, 2, 1, 3])
    found = pairs(tmp_path)
    assert found.identities(0)[1] == found.identities(2)[1] != found.identities(1)[1]
    assert found.identities(0)[0] == "query 1"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"query_column": "question"}, r"has no column 'question'; it has query, image: name the right one"),
        ({"image_column": "page"}, r"has no column 'page'; it has query, image"),
        ({"negatives": 2}, r"has no column 'negatives'"),
        ({"subset": "fr"}, r"contains no .parquet"),
    ],
)
def test_a_missing_column_lists_what_there_is(settings: dict, words: str, shards: Path) -> None:
    with pytest.raises(UserError, match=words):
        pairs(shards, **settings)


def test_rows_without_a_query_or_a_image_are_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a/train.parquet", range(5), ["a", "b", None, "d", " "])
    with pytest.raises(UserError, match=r"train.parquet, row 2: the query is None, not a text \(2 such rows\)"):
        pairs(tmp_path / "a")
    cells = [
        {"bytes": image(1), "path": None},
        {"bytes": image(2)[:60], "path": None},
        {"bytes": None, "path": None},
    ]
    write_table(pa.table({"query": ["a", "b", "c"], "image": pa.array(cells, IMAGE)}), tmp_path / "spoiled.parquet")
    found = pairs(tmp_path / "spoiled.parquet")
    assert found.example(0, 0).page.width == 21
    with pytest.raises(UserError, match=r"Training row 1 \(.*spoiled.parquet, row 1\).*the image cannot be read"):
        found.example(1, 0)
    with pytest.raises(UserError, match=r"row 2.*contains no image"):
        found.example(2, 0)


def test_a_image_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 30000, 30000, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b""))]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    (tmp_path / "bomb.png").write_bytes(content)
    found = pairs(write_lines(tmp_path / "p.jsonl", {"query": "q", "image": "bomb.png"}))
    with pytest.raises(UserError, match=r"Training row 0 .*bomb.png.*pixels"):
        found.example(0, 0)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 is not valid JSON"),
        ("[]", "line 2 is not an object"),
        ('{"query": "q", "image": 3}', "line 2: 3 is not a page"),
        ('{"query": "q", "image": {"document": "deck.pdf"}}', "line 2: .* is not a page"),
        ('{"query": "q", "image": "gone.png"}', "line 2 names .*gone.png, which does not exist"),
        ('{"query": "q", "image": null}', "line 2 names no page"),
        ('{"query": 7, "image": "a.png"}', "line 2: the query is 7, not a text"),
    ],
)
def test_lines_that_are_wrong_are_named(line: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(image(1))
    (tmp_path / "p.jsonl").write_text('{"query": "q", "image": "a.png"}\n' + line)
    with pytest.raises(UserError, match=words):
        found = pairs(tmp_path / "p.jsonl")
        found.fingerprint()
        found.example(1, 0)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("vidore/colpali_train_set_detailed", "is now vidore/colpali_train_set"),
        ("./data_dir/colpali_train_set", "called vidore/colpali_train_set on the hub"),
        ("no/such.parquet", "There is no table no/such.parquet"),
        ("nobody/nothing-of-this-name", "put its parquet files into a folder and set `path` to that"),
    ],
)
def test_names_that_lead_nowhere_say_where_to_go(path: str, words: str, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=words):
        pairs(Path(path)) if "/such" in path else open_source(PairSource(source="pairs", path=path))


def test_a_dataset_in_the_hubs_cache_needs_no_network(shards: Path, tmp_path: Path, monkeypatch) -> None:
    """In the layout in which `hf download` leaves it."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "cache/datasets--vidore--colpali_train_set"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs/main").write_text(commit)
    (cache / "snapshots").mkdir()
    shards.rename(cache / "snapshots" / commit)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = open_source(PairSource(source="pairs", path="vidore/colpali_train_set"))
    assert len(found) == 12 and found.example(9, 0).page.width == 29
