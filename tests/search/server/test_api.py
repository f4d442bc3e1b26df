"""What a client of the API gets."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from collotype.search.library import EmbeddedLibrary
from tests.small_pdf import small_pdf

BOATS = "sub/boats & more#1.pdf"
NEW = small_pdf([["Lighthouses blink at night"]])


def names(client: TestClient) -> dict[str, str]:
    return {row["name"]: row["state"] for row in client.get("/api/documents").json()["documents"]}


def until_idle(client: TestClient) -> dict[str, str]:
    for _ in range(200):
        states = names(client)
        if not {"waiting", "indexing"} & set(states.values()):
            return states
        time.sleep(0.05)
    raise AssertionError(states)


def test_a_hit_says_where_each_word_is_and_leads_to_the_page(client: TestClient) -> None:
    answer = client.get("/api/search", params={"q": "sloop mast", "k": 2}).json()
    assert answer["encoder"] == "the same words"
    best = answer["hits"][0]
    assert (best["document"], best["page"]) == (BOATS, 2)
    assert [place["word"] for place in best["places"]] == ["sloop", "mast"]
    left, top, right, bottom = best["places"][1]["box"]
    assert 0 < left < right < 1 and 0 < top < bottom < 0.3, "the line stands at the top"
    assert "sloop" in best["text"]
    for address in (best["picture"], best["heatmap"]):
        found = client.get(address)
        assert found.headers["content-type"] == "image/jpeg" and "max-age" in found.headers["cache-control"]
        assert Image.open(io.BytesIO(found.content)).size == (1000, 667)
    pdf = client.get(best["link"])
    assert pdf.headers["content-type"] == "application/pdf" and pdf.content.startswith(b"%PDF-")
    assert client.get(best["link"], headers={"range": "bytes=0-3"}).content == b"%PDF"


def test_a_search_in_some_documents_only(client: TestClient) -> None:
    hits = client.get("/api/search", params={"q": "spring", "document": "fruit.pdf"}).json()["hits"]
    assert {hit["document"] for hit in hits} == {"fruit.pdf"} and hits[0]["page"] == 2
    assert client.get("/api/search", params={"q": "spring", "document": "none.pdf"}).status_code == 404


def test_a_search_in_one_folder_only(client: TestClient) -> None:
    def found(**among: str) -> set[str]:
        return {hit["document"] for hit in client.get("/api/search", params={"q": "spring", **among}).json()["hits"]}

    assert found() == {"fruit.pdf", BOATS}
    assert found(folder="sub") == found(folder="sub/") == found(folder="sub", document=BOATS) == {BOATS}
    for among in ({"folder": "su"}, {"folder": "fruit.pdf"}, {"folder": "sub", "document": "fruit.pdf"}):
        assert client.get("/api/search", params={"q": "spring", **among}).status_code == 404


def test_a_search_in_one_language_only(client: TestClient) -> None:
    client.put("/api/documents/boot.pdf", content=small_pdf([["Eine Jolle hat nur einen Mast", "und kein Deck"]]))
    until_idle(client)
    assert client.get("/api/documents").json()["languages"] == {"en": 5, "de": 1}
    found = client.get("/api/search", params={"q": "mast", "language": "de"}).json()["hits"]
    assert [hit["document"] for hit in found] == ["boot.pdf"]
    both = client.get("/api/search", params={"q": "mast", "language": ["de", "en"]}).json()["hits"]
    assert len(both) == 6
    unknown = client.get("/api/search", params={"q": "mast", "language": "fr"})
    assert (unknown.status_code, unknown.json()["error"]) == (
        404,
        "No page in the index is in the language 'fr'; its languages are en, de.",
    )


def test_an_upload_is_indexed_found_replaced_and_deleted(client: TestClient, folder: Path) -> None:
    taken = client.put("/api/documents/light house.pdf", content=NEW)
    assert taken.status_code == 202 and taken.json()["state"] == "waiting"
    assert until_idle(client)["light house.pdf"] == "indexed"
    assert client.get("/api/search", params={"q": "Lighthouses"}).json()["hits"][0]["document"] == "light house.pdf"
    client.put("/api/documents/light house.pdf", content=small_pdf([["Harbours sleep"], ["Buoys float"]]))
    until_idle(client)
    assert client.get("/api/search", params={"q": "Buoys"}).json()["hits"][0]["page"] == 2
    assert (folder / "documents" / "light house.pdf").exists() and not list((folder / "incoming").iterdir())
    assert client.delete("/api/documents/light house.pdf").status_code == 204
    assert "light house.pdf" not in names(client)
    assert not list((folder / "documents").iterdir())


def test_deleting_a_document_from_elsewhere_leaves_its_file(client: TestClient, documents: Path) -> None:
    assert client.delete("/api/documents/sub/boats%20%26%20more%231.pdf").status_code == 204
    assert (documents / BOATS).exists()
    assert names(client) == {"fruit.pdf": "indexed"}
    assert client.delete("/api/documents/fruit").status_code == 404


def test_a_name_with_a_line_break_is_a_name(client: TestClient, documents: Path, library: EmbeddedLibrary) -> None:
    for method, address in (("DELETE", "two%0Alines"), ("DELETE", "%0A"), ("GET", "two%0Alines/pages/1/picture")):
        assert client.request(method, f"/api/documents/{address}").status_code == 404
    assert client.put("/api/documents/two%0Alines.pdf", content=NEW).status_code == 400
    (documents / "two\nlines.pdf").write_bytes(NEW)
    library.add(documents / "two\nlines.pdf", "two\nlines.pdf", lambda done, total: None)
    hit = client.get("/api/search", params={"q": "Lighthouses"}).json()["hits"][0]
    assert hit["document"] == "two\nlines.pdf"
    assert client.get(hit["picture"]).status_code == client.get(hit["link"]).status_code == 200
    assert client.delete("/api/documents/two%0Alines.pdf").status_code == 204


def test_a_broken_upload_is_told_and_leaves_what_was_there(client: TestClient, folder: Path) -> None:
    client.put("/api/documents/light.pdf", content=NEW)
    until_idle(client)
    client.put("/api/documents/light.pdf", content=b"%PDF-1.4 and then nothing")
    assert until_idle(client)["light.pdf"] == "failed"
    row = next(row for row in client.get("/api/documents").json()["documents"] if row["name"] == "light.pdf")
    assert "light.pdf" in row["problem"] and str(folder) not in row["problem"] and row["pages"] == 1
    assert (folder / "documents" / "light.pdf").read_bytes() == NEW
    client.put("/api/documents/fresh.pdf", content=b"%PDF-1.4 and then nothing")
    until_idle(client)
    assert not (folder / "documents" / "fresh.pdf").exists()
    assert client.delete("/api/documents/fresh.pdf").status_code == 204
    assert "fresh.pdf" not in names(client)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("..%2F..%2Fescape.pdf", (404, 405)),
        ("..%5Cescape.pdf", (400,)),
        (".hidden.pdf", (400,)),
        ("new%00line.pdf", (400,)),
        ("line%0A.pdf", (400,)),
        ("right%E2%80%AEfdp.pdf", (400,)),
        ("a" * 300 + ".pdf", (400,)),
        ("page.html", (415,)),
        ("fruit.pdf", (409,)),
        ("picture.png", (415,)),
    ],
)
def test_an_upload_of_no_good_name_or_kind_touches_nothing(
    client: TestClient, tmp_path: Path, name: str, status: tuple[int, ...]
) -> None:
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    answer = client.put(f"/api/documents/{name}", content=NEW)
    assert answer.status_code in status and answer.json()["error"]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before


def test_what_is_not_indexed_cannot_be_read(client: TestClient, documents: Path) -> None:
    secret = documents / "secret.pdf"
    secret.write_bytes(NEW)
    for path in ("secret.pdf", str(secret), f"..{secret}", "../elsewhere/secret.pdf", "%2e%2e/elsewhere/secret.pdf"):
        assert client.get(f"/api/documents/{path}/file").status_code == 404
    for path in ("/../api.py", "/%2e%2e/app.py", "/..%2fapp.py", "//etc/passwd"):
        assert client.get(path).status_code in (404, 421)
    gone = documents / "fruit.pdf"
    gone.unlink()
    answer = client.get("/api/documents/fruit.pdf/pages/1/picture")
    assert answer.status_code == 404 and str(documents) not in answer.json()["error"]


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("/api/search", "q"),
        ("/api/search?q=", "q"),
        ("/api/search?q=%20%20", "q"),
        (f"/api/search?q={'x' * 600}", "500 char"),
        ("/api/search?q=%21%3F", "no word"),
        ("/api/documents/fruit.pdf/pages/1/heatmap?q=%21%3F", "no word"),
        ("/api/search?q=mast&k=1000", "100"),
        ("/api/search?q=mast&k=-1", "k"),
        ("/api/documents/fruit.pdf/pages/0/picture", "page"),
        ("/api/documents/fruit.pdf/pages/1/picture?longest=100000", "2000"),
    ],
)
def test_a_request_beyond_a_limit_is_answered_with_a_sentence(client: TestClient, address: str, word: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 422 and word in answer.json()["error"]
    assert client.get("/api/documents/fruit.pdf/pages/3/picture").status_code == 404


def test_a_body_is_bounded_whatever_it_says_of_its_length(serve: Callable[..., TestClient], folder: Path) -> None:
    client = serve(upload_bytes=10_000)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1000
            yield b"%PDF-" + b"x" * 995

    assert client.put("/api/documents/large.pdf", content=endless()).status_code == 413
    assert client.put("/api/documents/large.pdf", content=b"%PDF-" + b"x" * 10_000).status_code == 413
    assert client.request("DELETE", "/api/documents/fruit.pdf", content=b"x" * 10_000).status_code == 413
    assert client.put("/api/documents/ok.pdf", content=NEW).status_code == 202
    until_idle(client)
    assert [file.name for file in (folder / "documents").iterdir()] == ["ok.pdf"]
    assert not list((folder / "incoming").iterdir())


def test_read_only(serve: Callable[..., TestClient], folder: Path) -> None:
    client = serve(read_only=True)
    assert client.get("/api/documents").json()["read_only"] is True
    assert client.put("/api/documents/new.pdf", content=NEW).status_code == 403
    assert client.delete("/api/documents/fruit.pdf").status_code == 403
    assert not (folder / "incoming").exists()


def test_progress_a_queue_and_what_is_busy(
    serve: Callable[..., TestClient], library: EmbeddedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, add = threading.Event(), library.add

    def slow(file, name, told):
        told(3, 7)
        assert go_on.wait(20)
        return add(file, name, told)

    monkeypatch.setattr(library, "add", slow)
    client = serve(waiting=2)
    for name in ("one", "two", "three"):
        assert client.put(f"/api/documents/{name}.pdf", content=NEW).status_code == 202
        time.sleep(0.1)
    assert client.put("/api/documents/four.pdf", content=NEW).status_code == 503
    rows = {row["name"]: row for row in client.get("/api/documents").json()["documents"]}
    assert (rows["one.pdf"]["state"], rows["one.pdf"]["done"], rows["one.pdf"]["total"]) == ("indexing", 3, 7)
    assert rows["two.pdf"]["state"] == rows["three.pdf"]["state"] == "waiting"
    assert client.delete("/api/documents/one.pdf").status_code == 409
    assert client.delete("/api/documents/two.pdf").status_code == 204
    go_on.set()
    assert set(until_idle(client)) == {"fruit.pdf", BOATS, "one.pdf", "three.pdf"}


def test_metrics_count_by_route_and_reason(client: TestClient) -> None:
    client.get("/api/search", params={"q": "mast"})
    client.get("/api/documents/none.pdf/file")
    client.get("/nothing/here")
    text = client.get("/api/metrics").text
    assert 'collotype_requests_total{method="GET",route="/api/search",status="200"} 1.0' in text
    assert 'collotype_refused_total{reason="missing"} 1.0' in text
    assert "nothing" not in text


def test_the_page_and_its_headers(client: TestClient) -> None:
    page = client.get("/")
    assert "Collotype" in page.text and "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in client.get("/api/health", headers={"origin": "http://a.b"}).headers
    for name in ("app.js", "app.css", "icon.svg"):
        assert client.get(f"/{name}").status_code == 200
    texts = page.text + client.get("/app.js").text + client.get("/app.css").text
    assert "innerHTML" not in texts and "https://" not in texts and "<style" not in texts
