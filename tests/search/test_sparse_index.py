"""An index of sparse pages: scored as by its model, searched without it, and refused where it does not fit."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from collotype.cli.index_check import check
from collotype.families import load, task_for
from collotype.families.retriever.checkpoints import native
from collotype.families.retriever.model import Retriever
from collotype.losses.sparse import there
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError
from collotype.search import export, image_query
from collotype.search.encoders.sparse import FILE
from collotype.search.index import Index
from collotype.search.library import EmbeddedLibrary
from collotype.search.pages import EncodedQuery
from tests.search.made import DESCRIBED, page

QUERY = "Red apple and bicycle"


def picture(number: int) -> Image.Image:
    random = np.random.default_rng(number)
    return Image.fromarray(random.integers(0, 255, (6, 6, 3), np.uint8)).resize((96, 96), Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sparse") / "model"
    made = task_for(load_recipe("desk-sparse")).build()
    with torch.no_grad():
        # each token is on every second page
        most = [made.custom_text_proj(made.states(made.processor.pages([picture(n)]))[0])[0].amax(0) for n in range(6)]
        made.custom_text_proj.bias -= torch.stack(most).median(0).values
    native.write(made, folder)
    return folder


@pytest.fixture(scope="module")
def index(model: Path, cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("indexed")
    (place / "pages").mkdir()
    for number in range(6):
        picture(number).save(place / "pages" / f"{number}.png")
    done = cli("index", place / "pages", "--to", place / "index", "--model", model)
    assert done.returncode == 0, done.stderr
    return place / "index"


@pytest.fixture
def library(index: Path) -> Iterator[EmbeddedLibrary]:
    yield EmbeddedLibrary.open(index, lambda file, *_: Image.open(file))


def scored(model: Retriever, query: str) -> dict[str, float]:
    pages = model.encode_pages([picture(number) for number in range(6)])
    scores = model.score(model.encode_queries([query]), pages)[0].tolist()
    return {f"{number}.png": score for number, score in enumerate(scores) if score}


@pytest.mark.parametrize("query", [QUERY, "umbrella", "apple apple umbrella"])
def test_hits_have_the_models_own_scores(library: EmbeddedLibrary, model: Path, query: str) -> None:
    hits, how = library.explained(query, 10)
    expected = scored(load(model), query)
    assert {hit.document: hit.score for hit in hits} == pytest.approx(expected, rel=2e-3)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert how.plan == "inverted" and how.lists_version is not None and how.newer == 0


def test_pages_that_the_lists_do_not_have_yet_or_any_more(index: Path, model: Path, tmp_path: Path) -> None:
    shutil.copytree(index, tmp_path / "index")
    opened, query = Index.open(tmp_path / "index"), EmbeddedLibrary.open(index, lambda *_: None).encoded(QUERY)
    stored = opened.page("3.png", 1)
    first = {hit.document: hit.score for hit in opened.search(query, 10)}
    made = page("new.png")[0]
    opened.add([(made, stored.encoded)])
    opened.delete("0.png")
    expected = {name: score for name, score in first.items() if name != "0.png"} | {"new.png": first["3.png"]}
    assert {hit.document: hit.score for hit in opened.search(query, 10)} == expected
    assert len(opened.view().newer) == 1
    opened.optimize()
    again, told = Index.open(tmp_path / "index").explained(query, 10)
    assert {hit.document: hit.score for hit in again} == expected and told.newer == 0
    assert [hit.document for hit in opened.search(query, 10, documents=["new.png"])] == ["new.png"]


def test_a_word_is_where_its_weight_was_read(library: EmbeddedLibrary, model: Path) -> None:
    one = load(model)
    hit = library.search(QUERY, 1)[0]
    inputs = one.processor.pages([picture(int(hit.document[0]))])
    with torch.inference_mode():
        states, mask = one.states(inputs)
        tokens = there(one.custom_text_proj(states), mask)[0]
    looking, (rows, columns) = one.processor.visual_tokens((96, 96))
    order = {token: divmod(cell, columns) for cell, token in enumerate(looking.tolist())}
    expected = {}
    for word in QUERY.split():
        best = tokens[:, one.processor.tokenizer.token_to_id(word.lower())]
        if best.max() > 0 and (cell := order.get(int(best.argmax()))):
            expected[word] = (cell[1] / columns, cell[0] / rows, (cell[1] + 1) / columns, (cell[0] + 1) / rows)
    found = {place.word: place.box for place in hit.places}
    assert found.keys() == expected.keys() and expected
    for word, box in found.items():
        assert box == pytest.approx(expected[word], abs=1e-4)
    assert library.heatmap(hit.document, 1, QUERY, 96).size == (96, 96)


def test_a_search_needs_no_model_and_no_torch(index: Path, tmp_path: Path, cli) -> None:
    shutil.copytree(index, tmp_path / "index")
    for file in (tmp_path / "index").glob("*.json"):
        file.write_text(file.read_text().replace("/model", "/gone"))
    code = (
        "import sys; from collotype.cli import main; sys.argv = ['collotype', 'search', sys.argv[1], 'red apple', "
        "'--json']\ntry: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    done = cli(launcher=[sys.executable, "-c", code, str(tmp_path / "index")])
    assert "False" in done.stderr.splitlines()[-1], done.stderr
    assert json.loads(done.stdout)["hits"]


def test_a_model_that_changed_searches_what_there_is_and_adds_nothing(index: Path, model: Path, tmp_path: Path) -> None:
    shutil.copytree(index, tmp_path / "index")
    other = tmp_path / "model"
    native.write(task_for(load_recipe("desk-sparse", {"train.seed": 1})).build(), other)
    for file in (tmp_path / "index").glob("*.json"):
        file.write_text(file.read_text().replace(str(model), str(other)))
    library = EmbeddedLibrary.open(tmp_path / "index", lambda *_: None)
    assert library.search(QUERY, 1)
    with pytest.raises(UserError, match=r"was made by .*, not by"):
        library.model.encode_pages([page()[0]])


def test_an_image_is_looked_for_by_what_it_has(library: EmbeddedLibrary) -> None:
    asked = image_query.of_image(picture(4), "a picture", None)
    found = library.search(asked, 6)
    assert found[0].document == "4.png" and found[0].score > found[1].score


def test_check_tells_what_the_lists_cost(index: Path, capsys) -> None:
    check(index, top_k=3, count=4, as_json=True)
    [way] = json.loads(capsys.readouterr().out)["ways"]
    opened = Index.open(index)
    weights = sum(len(opened.page(f"{number}.png", 1).encoded.vectors) for number in range(6))
    assert (way["name"], way["recall"], way["bytes_per_page"]) == ("plan inverted", 1.0, 12 * weights / 6)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--dim", "4"], "leave --dim 4 out"),
        (["--pool-factor", "2", "--untrained"], "leave --precision and --pool-factor out"),
        (["--precision", "int8"], "leave --precision and --pool-factor out"),
    ],
)
def test_what_vectors_have_is_refused(flags: list[str], named: str, model: Path, index: Path, cli, tmp_path) -> None:
    done = cli("index", index.parent / "pages", "--to", tmp_path / "index", "--model", model, *flags)
    assert done.returncode == 2 and named in done.stderr and not (tmp_path / "index" / "index.json").exists()


def test_what_does_not_fit_the_index_is_refused(index: Path, library: EmbeddedLibrary, tmp_path: Path) -> None:
    opened, dense = Index.open(index), page()
    with pytest.raises(UserError, match="takes \\[n, 1\\]"):
        opened.add([dense])
    with pytest.raises(UserError, match="works with vectors, but this index is sparse"):
        opened.search(library.encoded(QUERY), plan="bits")
    with pytest.raises(UserError, match="has sparse pages, but only vectors can be exported"):
        export.export(opened, "vespa", tmp_path / "out")
    with pytest.raises(UserError, match="no student can encode the queries; leave --queries out"):
        EmbeddedLibrary.open(index, lambda *_: None, queries="student")
    with pytest.raises(UserError, match="a token twice, or one outside the vocabulary of"):
        opened.search(EncodedQuery(np.ones((1, 1), np.float32), (), (), np.array([10**6])))
    late = Index.create(tmp_path / "late", **{**DESCRIBED, "dim": 1})
    with pytest.raises(UserError, match="is sparse, or not one token a weight"):
        late.search(library.encoded(QUERY))
    (index / FILE).write_text("{}")
    with pytest.raises(UserError, match=f"{FILE} is damaged"):
        EmbeddedLibrary.open(index, lambda *_: None)
