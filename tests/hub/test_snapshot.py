"""Files of one commit out of the hub: by revision, once, patiently, offline, and not a file more."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest

from collotype.runtime.errors import UserError
from collotype.runtime.hub import commits, parse, snapshot
from tests.hub.conftest import Hub, fetched
from tests.hub.imitation import publish

INSTEAD = "copy it into a folder"
BIG = b"w" * 2_000_000


def files(word: str) -> dict[str, bytes]:
    return {"config.json": f'{{"a": "{word}"}}'.encode(), "model.safetensors": word.encode() * 100, "README.md": b"#"}


@pytest.fixture
def two(root: Path) -> tuple[str, str]:
    """A repository whose main has moved on since its tag: (commit of v1.0, commit of main)."""
    old = publish(root, "models", "org/two", files("old"), branches=("main", "v1.0"))
    return old, publish(root, "models", "org/two", files("new"), branches=("main", "feature/x"))


def content(name: str, file: str = "config.json") -> str:
    return (snapshot(parse(name, "model"), INSTEAD).fetch([file]) / file).read_text()


def test_a_revision_is_a_branch_a_tag_or_a_commit(two: tuple[str, str], home: Path) -> None:
    old, new = two
    for revision, word in (
        ("@v1.0", "old"),
        (f"@{old}", "old"),
        ("", "new"),
        ("@feature/x", "new"),
        (f"@{new}", "new"),
    ):
        assert word in content(f"org/two{revision}")


def test_a_name_means_one_commit_in_a_block_and_is_asked_for_once(two: tuple, hub: Hub, root: Path, home: Path) -> None:
    with commits() as used:
        assert "new" in content("org/two")
        publish(root, "models", "org/two", files("newer"))
        hub.requests()
        assert "new" in content("org/two") and hub.requests() == []
        with commits() as inner:
            assert "new" in content("org/two")
    assert used == inner == {"org/two": two[1]}
    assert "newer" in content("org/two")
    with commits(used):
        assert '"new"' in content("org/two")


def test_a_commit_that_was_kept_is_read_whatever_main_is_now_and_offline(two, hub, root, home, offline) -> None:
    with commits() as used:
        content("org/two")
    publish(root, "models", "org/two", files("newer"))
    assert "newer" in content("org/two")
    refs = home / "hub/models--org--two/refs/main"
    before = refs.stat().st_mtime_ns, refs.read_text()
    hub.requests()
    offline()
    with commits(used):
        assert '"new"' in content("org/two")
    assert "newer" in content("org/two")
    assert hub.requests() == [] and (refs.stat().st_mtime_ns, refs.read_text()) == before


def test_what_is_here_costs_one_request_for_its_commit(two: tuple, hub: Hub, home: Path) -> None:
    content("org/two")
    hub.requests()
    content("org/two")
    assert [entry["path"] for entry in hub.requests()] == ["/api/models/org/two"]
    content("org/two@v1.0")
    hub.requests()
    content(f"org/two@{two[0]}")
    assert hub.requests() == []


def test_nothing_but_what_is_asked_for_is_fetched(root: Path, hub: Hub, home: Path) -> None:
    names = ["a.bin", "a[1].bin", "a1.bin", "sub/a.bin", "star*.bin", "starred.bin"]
    publish(root, "models", "org/many", {name: name.encode() for name in names})
    found = snapshot(parse("org/many", "model"), INSTEAD)
    assert found.files == {name: len(name) for name in sorted(names)}
    for name in ("a[1].bin", "star*.bin"):
        found.fetch([name])
    assert sorted(path.name for path in found.folder.rglob("*")) == ["a[1].bin", "star*.bin"]
    assert found.fetch(["there-is-none.bin"]) == found.folder
    assert (found.missing(names), found.size(names)) == (["a.bin", "a1.bin", "sub/a.bin", "starred.bin"], 31)


@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"status": 500}, {"status": 429, "headers": {"Retry-After": "0"}}, {"cut_after": 10}]
)
@pytest.mark.parametrize("what", ["GET hub /api/models/org/two$", "/tree/", "HEAD hub", "GET cdn"])
def test_what_failed_once_or_twice_is_tried_again(fault: dict, what: str, two: tuple, hub: Hub, home: Path) -> None:
    hub.faults = [{"match": what, "times": 2, **fault}]
    assert content("org/two", "model.safetensors") == "new" * 100
    assert all(fault["times"] == 0 for fault in hub.faults) or ("cut_after" in fault and "HEAD" in what)


def test_a_hub_that_is_down_is_told_and_what_is_here_goes_on(two: tuple, hub: Hub, home: Path, capsys) -> None:
    content("org/two")
    hub.faults = [{"match": ".", "status": 503, "times": 1000}]
    assert "new" in content("org/two")
    said = capsys.readouterr().err
    assert "503" in said and f"Continuing with the cached commit {two[1][:12]} of the model org/two" in said
    words = rf"cannot be downloaded .*503.*the cache in {home}/hub has some of it at main \({two[1][:12]}\)"
    with pytest.raises(UserError, match=words):
        content("org/two", "model.safetensors")
    with pytest.raises(
        UserError, match=rf"org/other is not complete .*, and the cache in {home}/hub has nothing of it"
    ):
        content("org/other")


def test_no_server_and_no_network_are_told_the_same_way(two: tuple, hub: Hub, home: Path, offline: Callable) -> None:
    content("org/two")
    hub.stop()
    huggingface_hub.close_session()
    assert "new" in content("org/two")
    with pytest.raises(
        UserError,
        match=r"org/other is not complete on this machine and cannot be downloaded \(http\S+ cannot be reached",
    ):
        content("org/other")
    offline()
    words = (
        rf"\(HF_HUB_OFFLINE is set\), and the cache .* has some of it at main \({two[1][:12]}\); unset it, or copy it"
    )
    with pytest.raises(UserError, match=words):
        content("org/two", "model.safetensors")


TOKEN = "hf_stranger"
REFUSED = {
    "gated, nobody logged in": (
        "org/gated",
        None,
        ["accept its licence at", "/org/gated", "`hf auth login`", "HF_TOKEN"],
    ),
    "gated, not accepted": (
        "org/gated",
        TOKEN,
        ["has no access to it", "/org/gated", "wait if access must be approved"],
    ),
    "wrong token": ("org/open", "hf_none", ["The hub does not accept the token in HF_TOKEN", "correct or unset"]),
    "missing": (
        "org/nothing",
        None,
        ["There is no folder org/nothing here, and on the hub no model of that name"],
    ),
    "private": ("org/private", TOKEN, ["or it is private and the logged-in account may not read it"]),
    "missing revision": ("org/open@v9", None, ["has no revision v9; it has main, v1.0, and commits by all 40 digits"]),
    "no name": ("org/a--b", None, ["is not a valid repository name"]),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("gate_api", [False, True])
def test_each_refusal_says_what_to_do(kind: str, gate_api: bool, root, hub: Hub, home: Path, monkeypatch) -> None:
    name, token, words = REFUSED[kind]
    hub.gate_api = gate_api
    publish(root, "models", "org/open", files("x"), branches=("main", "v1.0"))
    publish(root, "models", "org/gated", files("x"), gated=True)
    publish(root, "models", "org/private", files("x"), private=True)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UserError) as refused:
        content(name)
    said = str(refused.value)
    assert all(word in said for word in words), said
    assert "\n" not in said and "Client Error" not in said and (token or "hf_") not in said
    assert not list(home.rglob("config.json")) and sum(entry["bytes"] for entry in hub.requests()) < 10_000


def test_a_token_that_was_accepted_opens_and_never_leaves_the_hub(root, hub: Hub, home, monkeypatch) -> None:
    publish(root, "models", "org/gated", {**files("x"), "more.safetensors": b"more"}, gated=True, xet=True)
    monkeypatch.setenv("HF_TOKEN", "hf_accepted")
    for file in ("model.safetensors", "more.safetensors"):
        content("org/gated", file)
    requests = hub.requests()
    assert {bool(entry["auth"]) for entry in requests if entry["host"] == "hub"} == {True}
    assert [entry["auth"] for entry in requests if entry["host"] == "cdn"] == [None, None]


def test_a_disk_without_room_is_told_before_a_byte_comes(root: Path, hub: Hub, home: Path, monkeypatch) -> None:
    publish(root, "models", "org/big", {"model.safetensors": BIG})
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_500_000))
    words = rf"The model org/big needs 2.0 MB on the disk of the hub's cache {home}/hub, where 1.5 MB are free.*HF_HOME"
    with pytest.raises(UserError, match=words):
        content("org/big", "model.safetensors")
    assert fetched(hub.requests()) == []


FETCH = """
import sys
from collotype.runtime.hub import parse, snapshot
print(snapshot(parse(sys.argv[1], "model"), "copy it").fetch(sys.argv[2:]))
"""


def start(hub: Hub, home: Path, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, **hub.environment(home)}
    command = [sys.executable, "-c", FETCH, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def partial(home: Path) -> list[Path]:
    return list(home.rglob("*.incomplete"))


def test_what_a_kill_left_goes_with_the_next_fetch(root: Path, hub: Hub, home: Path) -> None:
    publish(root, "models", "org/big", {"model.safetensors": BIG, "config.json": b"{}"})
    hub.faults = [{"match": "GET cdn", "bytes_per_s": 100_000}]
    killed = start(hub, home, "org/big", "model.safetensors")
    # the client writes every 10 MB, so there is an empty file until then
    while not partial(home):
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert len(partial(home)) == 1
    assert content("org/big", "model.safetensors") == BIG.decode()
    assert partial(home) == []


def test_processes_of_one_machine_fetch_a_file_once(root: Path, hub: Hub, home: Path) -> None:
    publish(root, "models", "org/big", {"model.safetensors": BIG, "config.json": b"{}"})
    hub.faults = [{"match": "GET cdn", "bytes_per_s": 1_000_000, "times": 10}]
    both = [start(hub, home, "org/big", "model.safetensors", "config.json") for _ in range(2)]
    ends = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert fetched(hub.requests()) == ["model.safetensors"] and partial(home) == []
    for _, said in ends:
        # no bars off a terminal: at most the line that says what comes
        assert said in ("", said.splitlines()[0] + "\n" if said else "") and "%" not in said


def test_a_cache_of_another_tool_is_read_offline(home: Path, offline: Callable) -> None:
    """Without the listing that this client keeps."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = home / "hub/models--org--old"
    (place / "refs").mkdir(parents=True)
    (place / "refs/main").write_text(commit)
    (place / "snapshots" / commit / "sub").mkdir(parents=True)
    (place / "snapshots" / commit / "sub/config.json").write_text("{}")
    offline()
    for name in ("org/old", f"org/old@{commit}", "org/old@0123456"):
        assert snapshot(parse(name, "model"), INSTEAD).files == {"sub/config.json": 2}
