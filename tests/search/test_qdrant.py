"""A pushed index gives the hits of the one it was made of; Qdrant is its client's local mode here."""

import os
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient
from starlette.testclient import TestClient

from collotype.runtime.errors import UserError
from collotype.search import qdrant
from collotype.search.index import Index
from collotype.search.ingest import ingest
from collotype.search.ingest.worker import image_of
from collotype.search.library import QdrantLibrary
from collotype.search.pages import EncodedPage, Word
from collotype.search.qdrant import CANDIDATES, QdrantIndex, centroids, push
from collotype.search.server.app import create_app
from collotype.search.uri import parse
from tests.search.hybrid.conftest import created
from tests.search.made import DESCRIBED, DIM, page, query_of, unit
from tests.search.word_encoder import WordEncoder
from tests.small_pdf import small_pdf

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
PLACE = "qdrant://localhost/pages"
WORDS = (Word("some", (0.1, 0.0, 0.3, 0.1)), Word("text", (0.4, 0.0, 0.6, 0.1)))


@pytest.fixture
def client() -> QdrantClient:
    return QdrantClient(":memory:")


def filled(folder: Path, documents: int, pages: int, count: int, **described) -> Index:
    index = Index.create(folder, **DESCRIBED | described)
    for name in range(documents):
        index.add([page(f"{name}.pdf", number, count=count, words=WORDS, year=2020 + name) for number in range(pages)])
    return index


def told(hits) -> list[tuple]:
    return [(hit.link, hit.text, hit.metadata, [(place.word, place.box) for place in hit.places]) for hit in hits]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_same_hits_as_the_embedded_index(tmp_path: Path, client: QdrantClient, precision: str) -> None:
    index = filled(tmp_path / "index", documents=4, pages=12, count=90, precision=precision)
    assert push(index, PLACE, client=client).sent == 48
    there = QdrantIndex(PLACE, client)
    assert there.manifest == index.manifest and there.documents() == index.documents()
    for seed in range(5):
        query = query_of(page(seed=100 + seed, count=6)[1], range(6), "abcdef")
        for options in (
            {},
            {"documents": ["1.pdf", "3.pdf"]},
            {"where": {"year": "2022"}},
            {"where": {"year": [2021, 2023], "document": "[0-2].pdf"}},
            {"group": True},
            {"documents": []},
        ):
            mine, theirs = (one.search(query, 10, **options) for one in (index, there))
            assert told(mine) == told(theirs), options
            assert [hit.score for hit in mine] == pytest.approx([hit.score for hit in theirs], abs=1e-2)


def test_beyond_the_candidates_centroids_find_the_page(tmp_path: Path, client: QdrantClient) -> None:
    """Pages of few different vectors, as real ones are: blank patches repeat."""
    index, random = Index.create(tmp_path / "index", **DESCRIBED), np.random.default_rng(0)
    made = []
    for number in range(CANDIDATES + 60):
        blank, encoded = page("a.pdf", number, count=80)
        near = encoded.vectors[random.integers(0, 40, 80)] + 0.05 * random.standard_normal((80, DIM))
        made.append((blank, EncodedPage(unit(near), encoded.boxes)))
    index.add(made)
    push(index, PLACE, client=client)
    there, same = QdrantIndex(PLACE, client), 0
    for _, encoded in made[::30]:
        query = query_of(encoded, range(0, 80, 10), "abcdefgh")
        mine, theirs = ([hit.link for hit in one.search(query, 10)] for one in (index, there))
        assert mine[0] == theirs[0]
        same += len(set(mine) & set(theirs))
    assert same >= 0.95 * 10 * len(made[::30])


def test_a_second_push_sends_what_changed(tmp_path: Path, client: QdrantClient) -> None:
    index = filled(tmp_path / "index", documents=3, pages=4, count=5)
    push(index, PLACE, client=client)
    index.delete("0.pdf")
    index.add([page("1.pdf", 2, seed=7, count=9)])
    index.add([page("new.pdf", 1, count=0)])
    done = push(index, PLACE, client=client)
    assert (done.sent, done.unchanged, done.removed) == (2, 7, 4)
    there = QdrantIndex(PLACE, client)
    assert [document.name for document in there.documents()] == ["1.pdf", "2.pdf", "new.pdf"]
    np.testing.assert_array_equal(
        there.page("1.pdf", 2).encoded.vectors, index.page("1.pdf", 2).encoded.vectors.astype(np.float32)
    )
    assert "new.pdf#page=1" not in [hit.link for hit in there.search(query_of(page()[1]), 100)]
    with pytest.raises(UserError, match=r"Page 1 of '0.pdf' is not in qdrant://localhost/pages"):
        there.page("0.pdf", 1)


def test_pages_of_one_language(tmp_path: Path, client: QdrantClient) -> None:
    folder, encoder = tmp_path / "documents", WordEncoder()
    folder.mkdir()
    (folder / "boats.pdf").write_bytes(small_pdf([["A sloop has one mast and a jib"]]))
    (folder / "boote.pdf").write_bytes(small_pdf([["Eine Jolle hat nur einen Mast"]]))
    index = created(tmp_path / "index", encoder)
    ingest([folder], index, encoder, workers=1)
    push(index, PLACE, client=client)
    there, (query,) = QdrantIndex(PLACE, client), encoder.encode_queries(["mast"])
    with pytest.raises(UserError, match="are not known yet; repeat the `collotype index`"):
        there.search(query, languages=["de"])
    index.find_languages()
    assert push(index, PLACE, client=client).sent == 2, "what became known is sent"
    assert push(index, PLACE, client=client).sent == 0
    assert [hit.document for hit in there.search(query, languages=["de"])] == ["boote.pdf"]
    assert told(there.search(query, languages=["en"])) == told(index.search(query, languages=["en"]))


def test_what_cannot_be_pushed_or_searched_is_a_sentence(tmp_path: Path, client: QdrantClient) -> None:
    index = filled(tmp_path / "index", documents=1, pages=1, count=3)
    push(index, PLACE, client=client)
    other = filled(tmp_path / "other", documents=1, pages=1, count=3, identity="another", encoder_name="another model")
    with pytest.raises(UserError, match="has pages encoded by a test, but these are by another model"):
        push(other, PLACE, client=client)
    with pytest.raises(UserError, match="no collection nothing"):
        QdrantIndex("qdrant://localhost/nothing", client)
    client.create_collection("foreign", vectors_config={})
    with pytest.raises(UserError, match="was not pushed by Collotype"):
        QdrantIndex("qdrant://localhost/foreign", client)
    with pytest.raises(UserError, match=r"http://127.0.0.1:9 failed"):
        push(index, "qdrant://127.0.0.1:9/pages")


def test_a_server_over_a_collection_only_reads(tmp_path: Path, client: QdrantClient) -> None:
    encoder, folder = WordEncoder(), tmp_path / "documents"
    folder.mkdir()
    (folder / "boats.pdf").write_bytes(small_pdf([["A ketch has two masts"], ["A sloop has one mast"]]))
    about = {"identity": encoder.identity, "dim": encoder.dim, "interaction": encoder.interaction}
    index = Index.create(tmp_path / "index", encoder_name=encoder.name, **about)
    ingest([folder], index, encoder, workers=1)
    push(index, PLACE, client=client)
    library = QdrantLibrary(QdrantIndex(PLACE, client), encoder, image_of)
    with TestClient(create_app(library, None), base_url="http://localhost") as browser:
        best = browser.get("/api/search", params={"q": "sloop mast"}).json()["hits"][0]
        assert (best["document"], best["page"], len(best["places"])) == ("boats.pdf", 2, 2)
        assert browser.get(best["heatmap"]).status_code == browser.get(best["link"]).status_code == 200
        assert browser.get("/api/documents").json()["read_only"] is True
        assert browser.delete("/api/documents/boats.pdf").status_code == 403
        (folder / "boats.pdf").unlink()
        assert browser.get(best["picture"]).status_code == 404


@pytest.mark.parametrize(
    "place", ["qdrant://", "qdrant://host", "qdrant://host/a/b", "http://host/a", "qdrant://h:x/a"]
)
def test_an_address(place: str) -> None:
    assert parse("qdrant+https://host.example:7000/pages") == ("https://host.example:7000", "pages")
    assert parse("qdrant://[::1]/pages") == ("http://[::1]:6333", "pages")
    with pytest.raises(UserError, match="qdrant://HOST"):
        parse(place)


def test_centroids_are_where_the_vectors_are() -> None:
    random = np.random.default_rng(0)
    directions = unit(random.standard_normal((10, DIM)))
    vectors = unit(directions[random.integers(0, 10, 500)] + 0.02 * random.standard_normal((500, DIM)))
    found = centroids(vectors)
    assert found.shape == (64, DIM)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert (vectors @ found.T).max(axis=1).min() > 0.98
    assert centroids(vectors[:20]) is not None and len(centroids(vectors[:20])) == 20


@pytest.mark.needs_server
@pytest.mark.skipif(
    "COLLOTYPE_QDRANT" not in os.environ, reason="COLLOTYPE_QDRANT names no server (qdrant://HOST:6333)"
)
def test_a_real_server(tmp_path: Path) -> None:
    place = f"{os.environ['COLLOTYPE_QDRANT']}/collotype-test-{os.getpid()}"
    index = filled(tmp_path / "index", documents=4, pages=12, count=90)
    address = parse(place)
    client = qdrant.connect(address.url)
    try:
        push(index, place)
        there = QdrantIndex(place)
        for seed in range(5):
            query = query_of(page(seed=100 + seed, count=6)[1], range(6), "abcdef")
            assert told(index.search(query, 10)) == told(there.search(query, 10))
            assert told(index.search(query, 3, group=True)) == told(there.search(query, 3, group=True))
    finally:
        client.delete_collection(address.collection)
