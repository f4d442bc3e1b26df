"""Hybrid indexes from the command line: a model of the desk, the reader and BM25."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from collotype.cli import app
from collotype.families import task_for
from collotype.recipe.load import load_recipe
from tests.search.server.conftest import BOATS, FRUIT
from tests.small_pdf import small_pdf

SMALL = ["data.train.concepts=6"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of random weights."""
    folder = tmp_path_factory.mktemp("model") / "model"
    task = task_for(load_recipe("desk-colpali"))
    task.save(task.build().eval(), folder)
    return folder


def run(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 2, done.output
    return done.stderr


def test_one_command_indexes_and_one_searches(model: Path, tmp_path: Path) -> None:
    folder, library = tmp_path / "documents", tmp_path / "library"
    folder.mkdir()
    (folder / "fruit.pdf").write_bytes(small_pdf(FRUIT))
    (folder / "boats.pdf").write_bytes(small_pdf(BOATS))
    Image.new("RGB", (64, 64), (200, 0, 0)).save(folder / "red.png")
    made = json.loads(run("index", folder, "--to", library, "--model", model, "--also", "reader-english", "--json"))
    assert (made["added"], made["also"][0]["added"]) == (6, 6) and "reader" in made["also"][0]["found_by"]
    assert "give another encoder with --also" in refused("index", folder, "--to", library, "--also", model)

    (folder / "fruit.pdf").unlink()
    again = json.loads(run("index", folder, "--to", library, "--json"))
    assert (again["removed"], again["also"][0]["removed"], again["added"]) == (2, 2, 0)

    found = json.loads(run("search", library, "sloop mast", "--json", "--top-k", 1))["hits"][0]
    assert (found["document"], found["page"]) == ("boats.pdf", 2)
    assert [one["rank"] for one in found["found_by"] if one["name"] == "BM25"] == [1]
    assert "reader 4 at 1" in run("search", library, "sloop mast")
    english = json.loads(run("search", library, "red sloop mast", "--language", "en", "--json", "--top-k", 9))["hits"]
    assert {hit["document"] for hit in english} == {"boats.pdf"}, "a picture is in no language"
    assert "is in the language 'de'; its languages are en." in refused("search", library, "mast", "--language", "de")

    # the type is of those that have one: the retriever here, the second stage there
    assert json.loads(run("search", library, "sloop mast", "--dtype", "bf16", "--json"))["hits"]
    words = library / "also" / "1"
    assert "but reader-english has none" in refused("search", words, "sloop", "--dtype", "bf16")
    reranked = ["--rerank", model, "--rerank-first", 2, "--dtype", "bf16", "--json"]
    assert len(json.loads(run("search", words, "red apple", *reranked))["hits"]) == 3

    like = json.loads(run("search", library, "--like", "red.png#page=1", "--json"))
    assert like["query"] == "red.png, page 1" and like["hits"][0]["document"] == "red.png"
    assert "cannot search by an image" in refused("search", library / "also" / "1", "--image", folder / "red.png")
    assert "Give exactly one of" in refused("search", library, "mast", "--image", folder / "red.png")

    queries = tmp_path / "queries.tsv"
    queries.write_text("".join(f"{word}\tboats.pdf#page=2\n" for word in ["sloop", "one mast", "A sloop has"] * 4))
    checked = json.loads(run("index", "check", library / "also" / "1", "--queries", queries, "--json"))["answers"]
    assert checked["queries"] == 3 and checked["weights"] is None
    queries.write_text("".join(f"sloop {word}\tboats.pdf#page=2\n" for word in "abcdefghijkl"))
    checked = json.loads(run("index", "check", library, "--queries", queries, "--json"))["answers"]
    ways = {way["name"]: way["ndcg_at_5"] for way in checked["ways"]}
    assert checked["queries"] == checked["weights"]["fitted_on"] == 12 and ways["BM25 alone"] == 1
    assert (library / "fusion.json").is_file()
    assert "12 judged queries: searches use calibrated scores from now on, weights BM25: 0.25." in run(
        "index", "check", library, "--queries", queries
    )
    run("index", "remove", library, "boats.pdf")
    assert json.loads(run("search", library, "mast", "--json"))["hits"] == []
