"""The qa layout: what is one page, what is one query, and nothing dropped without a word."""

import io
from pathlib import Path

import pytest
from PIL import Image

from collotype.families.retriever.benchmarks.qa import read_qa
from collotype.runtime.errors import UserError
from tests.families.retriever.benchmarks.parquet_sets import png, write_qa, write_table

ROWS = [
    ("what is red?", png("red"), "a.png"),
    (None, png("green"), "b.png"),
    ("what is blue?", png("blue", (40, 60)), "c.png"),
    ("what is red?", png("white"), "d.png"),
    ("what is warm?", png("red"), "e.png"),
    (None, png("red"), "a.png"),
    ("  ", png("black"), "c.png"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_qa(tmp_path / "set", ROWS)


def test_mteb_merges_equal_images_and_equal_queries(folder: Path) -> None:
    found = read_qa("qa/set", folder)
    assert list(found.queries.values()) == ["what is red?", "what is blue?", "what is warm?"]
    # red, green, blue, white, black
    assert list(found.pages.ids) == ["0", "1", "2", "3", "4"]
    assert [found.pages.image(page).getpixel((0, 0)) for page in (0, 2, 4)] == [(255, 0, 0), (0, 0, 255), (0, 0, 0)]
    assert found.pages.size(2) == (40, 60) == found.pages.image(2).size
    answers = {found.queries[query]: set(pages) for query, pages in found.qrels.items()}
    assert answers == {"what is red?": {"0", "3"}, "what is blue?": {"2"}, "what is warm?": {"0"}}
    events = {event["kind"]: event["count"] for event in found.events}
    assert events == {"pages-merged": 2, "queries-merged": 1, "blank-queries": 1}


def test_vidore_benchmark_knows_pages_by_file_name_and_keeps_the_last_answer(folder: Path) -> None:
    found = read_qa("qa/set", folder, counting="vidore-benchmark")
    assert list(found.pages.ids) == ["a.png", "b.png", "c.png", "d.png", "e.png", "c.png"]
    answers = {found.queries[query]: pages for query, pages in found.qrels.items()}
    assert answers == {"what is red?": {"d.png": 1}, "what is blue?": {"c.png": 1}, "what is warm?": {"e.png": 1}}


def merged_by_vidore_benchmark(filenames: list[str], scores: list[float]) -> dict[str, float]:
    """`_get_retrieval_results` of its vidore_evaluator_qa.py, in our words."""
    results: dict[str, float] = {}
    for place, (name, score) in enumerate(zip(filenames, scores, strict=True)):
        results[name] = score if place == 0 else max(results.get(name, 0), score)
    return results


@pytest.mark.parametrize("scores", [[-2.0, -1.0, 3.0, -4.0, 0.5, 7.0], [5.0, 1.0, -3.0, -4.0, -0.5, -7.0]])
def test_vidore_benchmark_ranks_as_its_evaluator_does(folder: Path, scores: list) -> None:
    found = read_qa("qa/set", folder, counting="vidore-benchmark")
    assert found.page_scores(scores) == merged_by_vidore_benchmark(list(found.pages.ids), scores)


def test_the_fingerprint_goes_by_images_queries_and_answers(folder: Path, tmp_path: Path) -> None:
    before = read_qa("qa/set", folder)
    again = read_qa("qa/set", write_qa(tmp_path / "copy", ROWS, files=1))
    assert again.fingerprint == before.fingerprint and again.pages.fingerprint == before.pages.fingerprint
    painted = read_qa("qa/set", write_qa(tmp_path / "painted", [*ROWS[:-1], ("  ", png("gray"), "c.png")]))
    assert painted.pages.fingerprint != before.pages.fingerprint
    asked = read_qa("qa/set", write_qa(tmp_path / "asked", [("what?", *ROWS[0][1:]), *ROWS[1:]]))
    assert asked.pages.fingerprint == before.pages.fingerprint and asked.fingerprint != before.fingerprint


def test_texts_and_files_may_stand_in_place_of_image_bytes(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(png("red")["bytes"])
    write_table(
        tmp_path / "set.parquet",
        {"query": ["red?"], "image": [{"bytes": None, "path": "p.png"}], "text_description": ["a red page"]},
    )
    found = read_qa("qa/set", tmp_path / "set.parquet")
    assert found.pages.image(0).size == (32, 24) and found.pages.text(0) == "a red page"
    assert found.pages.text_from == "the column text_description"


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"image": [png("red")]}, "has no column 'query'; it has image"),
        ({"query": ["a"]}, "has no column 'image'"),
        ({"query": [None], "image": [png("red")]}, "No row of"),
        ({"query": ["a"], "image": [None]}, "row 0, column image contains no image"),
        ({"query": ["a"], "image": [{"bytes": b"no image", "path": None}]}, "row 0, column image is not an image"),
        (
            {"query": ["a"], "image": [{"bytes": None, "path": "x.png"}]},
            r"the image .*x.png, which cannot be read",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, columns: dict, words: str) -> None:
    write_table(tmp_path / "data" / "test-00000-of-00001.parquet", columns)
    with pytest.raises(UserError, match=words):
        read_qa("qa/set", tmp_path)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no parquet files"):
        read_qa("qa/set", tmp_path)
    (tmp_path / "set.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(UserError, match="cannot be read as parquet"):
        read_qa("qa/set", tmp_path)
    for split in ("train", "validation"):
        write_table(tmp_path / "two" / "data" / f"{split}-00000-of-00001.parquet", {"query": ["a"]})
    with pytest.raises(UserError, match="has no split 'test'; name one of train, validation"):
        read_qa("qa/set", tmp_path / "two")


def test_a_scan_that_lies_on_its_side_is_searched_upright(tmp_path: Path) -> None:
    content, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(content, "jpeg", exif=exif)
    sideways = {"bytes": content.getvalue(), "path": None}
    pages = read_qa("qa/set", write_qa(tmp_path, [("red", sideways, "a.jpg"), ("blue", png("blue"), "b.png")])).pages
    assert [pages.size(place) for place in range(2)] == [(20, 40), (32, 24)]
    assert pages.image(0).size == (20, 40)
