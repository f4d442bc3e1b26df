"""`collotype index` and `collotype search` as a user runs them."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.small_pdf import small_pdf


@pytest.fixture(scope="module")
def library(cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index, and the files it was made of."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "files").mkdir()
    (folder / "files" / "pets.pdf").write_bytes(small_pdf([["The dog barks"], ["A cat on the sofa"]]))
    (folder / "files" / "cars.pdf").write_bytes(small_pdf([["An automobile race"]]))
    (folder / "files" / "broken.pdf").write_bytes(b"no PDF")
    done = cli("index", folder / "files", "--to", folder / "index")
    assert done.returncode == 0 and done.stderr == ""
    assert "3 pages indexed, 0 unchanged, 0 removed; 3 pages by reader 5: multilingual E5" in done.stdout
    assert "skipped, damaged, or no PDF: 1\n  broken.pdf: " in done.stdout
    return folder


def test_a_hit_says_where_and_by_whom(cli, library: Path, tmp_path: Path) -> None:
    done = cli("search", library / "index", "cat sofa", "--heatmap", tmp_path / "h.png", "--json", "--explain")
    found = json.loads(done.stdout)
    assert found["found_by"].startswith("reader 5: multilingual E5") and found["explanation"]["plan"] == "exact"
    best = found["hits"][0]
    assert (best["document"], best["page"]) == ("pets.pdf", 2)
    assert best["link"] == f"{library / 'files' / 'pets.pdf'}#page=2" and best["text"] == "A cat on the sofa"
    assert [place["word"] for place in best["places"]] == ["cat", "sofa"]
    assert all(0 <= side <= 1 for place in best["places"] for side in place["box"])
    image = Image.open(tmp_path / "h.png")
    assert image.size == (1200, 800) and image.getextrema()[0][0] < 100
    shown = cli("search", library / "index", "vehicle", "--top-k", "1", "--document", "cars.pdf").stdout
    assert "1. cars.pdf, page 1" in shown and "An automobile race" in shown and "2." not in shown


def test_a_document_is_removed_and_comes_back(cli, library: Path) -> None:
    removed = cli("index", "remove", library / "index", "cars.pdf")
    assert removed.stdout == "cars.pdf: 1 page deleted.\n"
    again = json.loads(cli("index", "--to", library / "index", library / "files", "--json").stdout)
    assert (again["added"], again["unchanged"], again["documents"]) == (1, 2, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["index", "nowhere", "--to", "new"], "There is no file or folder nowhere"),
        (["index", "{files}", "--to", "new", "--model", "nowhere"], "There is no folder nowhere"),
        (["index", "{files}", "--to", "{index}", "--model", "{model}"], "was made by reader"),
        (["index", "{files}", "--to", "{index}", "--precision", "int8"], "its precision cannot be changed"),
        (["index", "remove", "{index}", "x.pdf"], "has no document 'x.pdf'"),
        (["search", "nowhere", "cat"], "There is no index in nowhere"),
        (["search", "{index}", " "], "The query is empty"),
        (["search", "{index}", "cat", "--document", "x.pdf"], "has no document 'x.pdf'"),
        (["search", "{index}", "cat", "--heatmap", "h.txt"], "the ending .txt, which is not an image format"),
        # before anything is opened
        (["search", "nowhere", "cat", "--heatmap", "h"], "no ending, which is not an image format; use .png"),
    ],
)
def test_a_mistake_is_one_sentence(cli, library: Path, trained: Path, arguments: list, words: str, tmp_path: Path):
    places = {"files": library / "files", "index": library / "index", "model": trained / "model"}
    done = cli(*(word.format(**places) for word in arguments), cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert list(tmp_path.iterdir()) == []
