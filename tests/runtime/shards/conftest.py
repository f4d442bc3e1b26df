import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("COLLOTYPE_CACHE", str(tmp_path / "cache"))
