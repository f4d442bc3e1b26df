"""The imitation of the hub, and this process's client turned towards it."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest
from typer.testing import CliRunner, Result

from collotype.cli import app
from collotype.runtime.hub import snapshot
from tests.hub.imitation import FakeHub


class Hub(FakeHub):
    """What a test asks of the imitation beside its faults."""

    def requests(self) -> list[dict]:
        """Those so far, without the client's own for its statistics; the next call gives later ones."""
        found = [entry for entry in self.log if "agent-harnesses" not in entry["path"]]
        self.log.clear()
        return found

    def environment(self, home: Path) -> dict[str, str]:
        """For a process of its own."""
        return {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}


def fetched(requests: list[dict]) -> list[str]:
    """The paths of files whose content was asked for, sorted."""
    return sorted(entry["path"].split("filename=")[-1].split("&")[0] for entry in requests if entry["host"] == "cdn")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "repositories"


@pytest.fixture
def hub(root: Path) -> Iterator[Hub]:
    with Hub(root) as served:
        yield served


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Hub], Path]:
    """Turns this process's client towards an imitation, with an empty cache; its HF_HOME."""

    def turn(hub: Hub) -> Path:
        home = tmp_path / "home"
        # a connection that was kept might lead to the hub of another test, at the same port
        huggingface_hub.close_session()
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HOME", str(home))
        template = "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr("huggingface_hub.constants.HF_STORED_TOKENS_PATH", str(home / "stored"))
        monkeypatch.setattr(snapshot_module(), "WAITS_S", (0.0, 0.0, 0.0))
        monkeypatch.setattr("huggingface_hub.utils._http.time", Hasty())
        monkeypatch.setattr("huggingface_hub.file_download.time", Hasty())
        return home

    return turn


class Hasty:
    """The module `time`, whose sleep is none: what the client waits between its tries is not what is tested."""

    def __getattr__(self, name: str) -> object:
        return (lambda seconds: None) if name == "sleep" else getattr(time, name)


def snapshot_module() -> object:
    return sys.modules[snapshot.__module__]


@pytest.fixture
def home(client: Callable[[Hub], Path], hub: Hub) -> Path:
    return client(hub)


@pytest.fixture
def offline(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def leave() -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    return leave


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.fixture
def recipe(root: Path, tmp_path: Path) -> Path:
    """A recipe by names, all of which are published."""
    from tests.hub.repositories import write_recipe

    return write_recipe(root, tmp_path)


def command(*words: object) -> Result:
    """`collotype WORDS`, in this process, whose client the fixture `home` has turned."""
    return CliRunner().invoke(app, [str(word) for word in words])
