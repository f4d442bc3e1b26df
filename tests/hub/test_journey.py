"""The commands of README.md and docs/hub.md, with names of the hub: online, offline, gated, and cut off."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.hub.conftest import Hub, command, fetched
from tests.hub.repositories import ADAPTER, BASE

EVALUATE = ("evaluate", ADAPTER, "--suite", "qa", "--path", "org/train", "--split", "train", "--no-cache", "--json")


def test_online_and_offline_read_the_same(recipe: Path, hub: Hub, home: Path, tmp_path: Path, offline) -> None:
    online = command(*EVALUATE)
    assert online.exit_code == 0, online.output
    mined = tmp_path / "mined.jsonl"
    done = command("mine", ADAPTER, "--data", "org/train", "--out", mined, "--negatives", "1", "--json")
    assert done.exit_code == 0, done.output
    commits = json.loads(done.stdout)["hub"]
    assert set(commits) == {ADAPTER, BASE, "datasets/org/train"}
    assert all(f"{BASE} at {commits[BASE]}" in json.loads(line)["hub"] for line in mined.read_text().splitlines())
    hub.requests()
    environment = {**os.environ, **hub.environment(home), "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-m", "collotype", *EVALUATE]
    again = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=550)
    assert again.returncode == 0, again.stderr
    assert without_time(again.stdout) == without_time(online.stdout) and hub.requests() == []


def without_time(said: str) -> object:
    return json.loads(said, object_hook=lambda one: {key: value for key, value in one.items() if key != "timing"})


def test_a_cut_is_told_in_a_sentence_and_the_next_run_goes_on(recipe: Path, hub: Hub, home: Path) -> None:
    hub.faults = [{"match": "GET cdn .*00002-of-00002", "cut_after": 1000, "times": 1000}]
    cut = command(*EVALUATE)
    assert (
        cut.exit_code == 2
        and f"the model {BASE} is not complete on this machine and cannot be downloaded" in cut.stderr.lower()
    )
    assert cut.stderr.count("\n") <= 3 and "Traceback" not in cut.output
    hub.faults = []
    whole = [name for name in set(fetched(hub.requests())) if "00002-of" not in name]
    again = command(*EVALUATE)
    assert again.exit_code == 0, again.output
    assert not set(fetched(hub.requests())) & set(whole) - {"tokenizer.json"} and not list(home.rglob("*.incomplete"))


def test_check_says_how_much_a_run_fetches_and_what_it_will_be_refused(recipe, root: Path, hub: Hub, home) -> None:
    said = command("check", recipe)
    assert said.exit_code == 0 and "blocks" not in said.stdout and "What a run fetches" in said.stdout
    assert hub.requests() == []
    asked = command("check", recipe, "--online")
    assert asked.exit_code == 0 and "of 3 repositories of the hub" in asked.stdout, asked.output
    (root / "models" / BASE / "settings.json").write_text('{"gated": true}')
    (root / "datasets/org/train/settings.json").write_text('{"gated": true}')
    refused = command("check", recipe, "--online", "--json")
    findings = json.loads(refused.stdout)["plan"]["findings"]
    blocking = {one["name"]: one["seen"] for one in findings if one["severity"] == "blocks"}
    for name, refusing in (("weights not here", BASE), ("evaluation data not here", "org/train")):
        assert f"{refusing} is gated, and nobody is logged in here" in blocking[name]
    run = command("run", recipe, "--out", home / "run")
    assert run.exit_code == 2 and "accept its licence at" in run.stderr
    requests = hub.requests()
    assert fetched(requests) == [] and sum(entry["bytes"] for entry in requests) < 100_000
