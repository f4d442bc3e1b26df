"""What the server does not answer."""

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from collotype.search.server.middleware import Buckets, client_of

KEY = "a long enough key"


def test_every_address_for_data_asks_for_the_key(serve: Callable[..., TestClient]) -> None:
    client = serve(api_key=KEY)
    assert client.get("/api/health").json()["key"] is True and client.get("/").status_code == 200
    for path in client.get("/api/openapi.json", headers={"x-api-key": KEY}).json()["paths"]:
        if path not in ("/api/health", "/api/session"):
            assert client.get(path).status_code == 401, path
    for headers in ({"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}):
        assert client.get("/api/documents", headers=headers).status_code == 200
    for wrong in (
        {"x-api-key": KEY[:-1]},
        {"x-api-key": b"\xe4\xff"},
        {"authorization": KEY},
        {"cookie": f"collotype={KEY}"},
    ):
        assert client.get("/api/documents", headers=wrong).status_code == 401


def test_the_page_gets_a_cookie_for_the_key(serve: Callable[..., TestClient]) -> None:
    client = serve(api_key=KEY)
    assert client.post("/api/session", json={"key": "another key"}).status_code == 401
    assert client.get("/api/documents").status_code == 401
    answer = client.post("/api/session", json={"key": KEY})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and KEY not in cookie
    assert client.get("/api/documents").status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("192.168.1.20:8080", 200),
        ("search.example:80", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
        ("[", 421),
    ],
)
def test_a_foreign_name_is_refused(serve: Callable[..., TestClient], host: str, status: int) -> None:
    """DNS rebinding: another site's name that leads here."""
    client = serve(hosts=frozenset({"search.example"}))
    assert client.get("/api/health", headers={"host": host}).status_code == status


def test_another_sites_page_changes_nothing(client: TestClient) -> None:
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert client.delete("/api/documents/fruit.pdf", headers=headers).status_code == 403
    own = {"origin": "http://localhost", "sec-fetch-site": "same-origin"}
    assert client.delete("/api/documents/fruit.pdf", headers=own).status_code == 204


def test_too_many_requests_are_told_when_to_come_back(serve: Callable[..., TestClient]) -> None:
    client = serve(rate=0.01, burst=3)
    statuses = [client.get("/api/health").status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert int(client.get("/api/health").headers["retry-after"]) > 50


def test_a_bucket_fills_again_and_is_each_clients_own() -> None:
    now = 0.0
    buckets = Buckets(rate=2, burst=2, clock=lambda: now)
    assert [buckets.take("a"), buckets.take("a")] == [0, 0]
    assert buckets.take("a") == 0.5
    assert buckets.take("b") == 0
    now = 0.5
    assert buckets.take("a") == 0 and buckets.take("a") > 0
    for number in range(20_000):
        buckets.take(str(number))
    assert len(buckets.buckets) == 10_000


def test_one_ipv6_network_is_one_client() -> None:
    one, other = ({"client": (f"2001:db8::{last}", 1)} for last in ("1", "abcd"))
    assert client_of(one) == client_of(other) != client_of({"client": ("2001:db8:0:1::1", 1)})


def test_what_takes_too_long_is_given_up(serve: Callable[..., TestClient], library, monkeypatch) -> None:
    import time

    monkeypatch.setattr(library, "search", lambda *_: time.sleep(1.0) or [])
    client = serve(request_s=0.2)
    answer = client.get("/api/search", params={"q": "mast"})
    assert answer.status_code == 503 and "longer" in answer.json()["error"]
    assert client.get("/api/health").status_code == 200
