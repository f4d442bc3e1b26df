"""An index as other engines take it: what was stored is in the feed, and MaxSim of it is the index's own."""

import json
from pathlib import Path

import numpy as np
import pytest

from collotype.runtime.errors import UserError
from collotype.search.export import ENGINES, export
from collotype.search.index import Index
from collotype.search.pages import Word
from tests.search.made import DESCRIBED, DIM, page, query_of

WORDS = [Word("größer", (0, 0, 0.5, 0.1)), Word("日本", (0.5, 0, 1, 0.1))]


@pytest.fixture(params=["fp16", "int8"])
def index(tmp_path: Path, request: pytest.FixtureRequest) -> Index:
    index = Index.create(tmp_path / "index", **DESCRIBED, precision=request.param)
    index.add([page("b c.pdf", 2, words=WORDS), page("a#.pdf", 1), page("b c.pdf", 1), page("empty.pdf", 1, count=0)])
    return index


def read(engine: str, folder: Path) -> dict[str, tuple[dict, np.ndarray]]:
    """A page's fields and vectors, as the engine's feed has them, by its id."""
    lines = [json.loads(line) for line in (folder / ENGINES[engine].feed).read_text().splitlines()]
    if engine == "vespa":
        rows = [(line["put"].partition("::")[2], line["fields"]) for line in lines]
        return {key: (of, np.array([*of["vectors"]["blocks"].values()], np.float32)) for key, of in rows}
    if engine == "milvus":
        return {of["id"]: (of, np.array([one["vector"] for one in of["vectors"]], np.float32)) for of in lines}
    assert [line["index"]["_id"] for line in lines[::2]] == [of["link"] for of in lines[1::2]]
    return {of["link"]: (of, np.array(of["vectors"], np.float32)) for of in lines[1::2]}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_feed_has_every_page_with_the_vectors_that_are_stored(index: Index, tmp_path: Path, engine: str) -> None:
    assert export(index, engine, tmp_path / "out") == 3
    found = read(engine, tmp_path / "out")
    assert list(found) == ["a#.pdf#page=1", "b c.pdf#page=1", "b c.pdf#page=2"], "in an order that can be told"
    assert found["b c.pdf#page=2"][0]["text"] == "größer 日本"
    query = query_of(page("b c.pdf", 2)[1])
    for hit in index.search(query, 3):
        _, vectors = found[f"{hit.document}#page={hit.page}"]
        assert float((query.vectors @ vectors.T).max(axis=1).sum()) == pytest.approx(hit.score, abs=1e-5)
    asked = json.loads((tmp_path / "out" / "query.json").read_text())
    assert str(DIM) in json.dumps(ENGINES[engine].others(DIM, True)) and asked
    with pytest.raises(UserError, match="already exists; choose a new folder"):
        export(index, engine, tmp_path / "out")


def test_the_schemas_are_such_as_their_documentation_has(index: Index, tmp_path: Path) -> None:
    for engine in ENGINES:
        export(index, engine, tmp_path / engine)
    schema = (tmp_path / "vespa/application/schemas/page.sd").read_text()
    assert f"field vectors type tensor<float>(patch{{}}, v[{DIM}])" in schema
    assert schema.count("{") == schema.count("}")
    mapping = json.loads((tmp_path / "elasticsearch/index.json").read_text())["mappings"]["properties"]
    assert mapping["vectors"] == {"type": "rank_vectors", "dims": DIM}
    names = [
        one["fieldName"] for one in json.loads((tmp_path / "milvus/collection.json").read_text())["schema"]["fields"]
    ]
    assert names == ["id", "document", "page", "label", "text", "link"]
    single = ENGINES["elasticsearch"].others(8, False)
    assert '"dense_vector"' in single["index.json"] and "dotProduct" in single["query.json"]


def test_what_milvus_cannot_hold_is_told_and_long_texts_are_cut(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", **DESCRIBED)
    index.add([page(words=[Word("ü" * 40_000, (0, 0, 1, 1))])])
    export(index, "milvus", tmp_path / "cut")
    assert len(json.loads((tmp_path / "cut" / "feed.jsonl").read_text())["text"].encode()) == 65_534
    index.add([page("long.pdf", count=4097)])
    with pytest.raises(UserError, match=r"long\.pdf#page=1 has 4,097 vectors, more than Milvus' limit of 4,096"):
        export(index, "milvus", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_index_without_vectors_is_refused(tmp_path: Path) -> None:
    empty = Index.create(tmp_path / "index", **DESCRIBED)
    with pytest.raises(UserError, match="there is nothing to export"):
        export(empty, "vespa", tmp_path / "out")
    assert not (tmp_path / "out").exists()
