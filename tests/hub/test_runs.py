"""Runs and indexes of models by name: what they write down, and that they go on with the same commits."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import collotype
from collotype.runtime.errors import UserError
from collotype.runtime.hub import commits
from collotype.search.ingest.on_ray import OnRay
from tests.hub.conftest import Hub, command, fetched, read_json
from tests.hub.repositories import ADAPTER, BASE, move_base, publish_rows
from tests.small_pdf import small_pdf


def test_a_run_goes_on_with_the_commits_it_had(recipe: Path, root, hub: Hub, home, tmp_path, offline) -> None:
    folder = tmp_path / "run"
    record = collotype.run(recipe, out=folder).record
    names = {ADAPTER, BASE, "datasets/org/train"}
    assert set(record["hub"]) == names and all(len(commit) == 40 for commit in record["hub"].values())
    written = [
        folder / "hub.json",
        folder / "record.json",
        folder / "checkpoints/step-000002/state.json",
        folder / "evaluation/qa/train.json",
    ]
    kept, *others = (json.loads(file.read_text()) for file in written)
    assert kept == record["hub"] and all(other["hub"] == kept for other in others)
    move_base(root, tmp_path)
    publish_rows(root, tmp_path / "other-rows", start=50)
    (folder / "record.json").unlink()
    offline()
    hub.requests()
    again = collotype.run(recipe, out=folder, resume=True).record
    assert again["hub"] == kept and again["model"]["initial_sha256"] == record["model"]["initial_sha256"]
    assert hub.requests() == []


def test_what_cannot_be_is_told_before_anything_is_fetched(recipe: Path, root, hub: Hub, home, tmp_path) -> None:
    changes = {"train.optimizer.name": "paged_adamw_8bit"}
    with pytest.raises(UserError, match="needs a GPU"):
        collotype.run(recipe, out=tmp_path / "run", overrides=changes)
    with pytest.raises(UserError, match=r"train.batch is 3|cannot be divided|divisor"):
        collotype.run(recipe, out=tmp_path / "run", overrides={"train.batch": 3, "train.micro_batch": 2})
    assert hub.requests() == []
    settings = root / "models" / BASE / "settings.json"
    settings.write_text('{"gated": true}')
    with pytest.raises(UserError, match=f"{BASE} is gated, and nobody is logged in"):
        collotype.run(recipe, out=tmp_path / "run")
    requests = hub.requests()
    assert fetched(requests) == [] and sum(entry["bytes"] for entry in requests) < 100_000
    settings.unlink()
    (root / "datasets/org/train/settings.json").write_text('{"gated": true}')
    with pytest.raises(UserError, match="The dataset org/train is gated, and nobody is logged in"):
        collotype.run(recipe, out=tmp_path / "run")
    requests = hub.requests()
    assert fetched(requests) == [] and sum(entry["bytes"] for entry in requests) < 100_000
    assert not (tmp_path / "run").exists()


def test_an_index_is_searched_with_the_commit_that_made_it(recipe, root, hub: Hub, home, tmp_path, offline) -> None:
    pytest.importorskip("lance")
    (tmp_path / "a.pdf").write_bytes(small_pdf([["a plain page"]]))
    add = ("index", tmp_path / "a.pdf", "--to", tmp_path / "index", "--model")
    made = command(*add, ADAPTER)
    assert made.exit_code == 0, made.output
    model = read_json(tmp_path / "index/sources.json")["model"]
    assert model["model"] == ADAPTER and set(model["commits"]) == {ADAPTER, BASE}
    move_base(root, tmp_path)
    again = command(*add, ADAPTER)
    assert again.exit_code == 0 and "1 unchanged" in again.stdout, again.output
    told = command(*add, f"{ADAPTER}@main")
    assert told.exit_code == 2 and "use the former" in told.stderr
    hub.requests()
    offline()
    found = command("search", tmp_path / "index", "red apple", "--json")
    assert found.exit_code == 0, found.output
    assert [hit["document"] for hit in json.loads(found.stdout)["hits"]] == ["a.pdf"] and hub.requests() == []


def test_actors_open_the_commits_that_this_process_has() -> None:
    ray = OnRay(None, {"model": "org/name", "preset": None}, None, 0)
    assert ray.pinned() == ray.model
    with commits() as used:
        used["org/name"] = "c" * 40
        assert ray.pinned() == {"model": "org/name", "preset": None, "commits": {"org/name": "c" * 40}}


def test_processes_of_a_launcher_fetch_a_file_once_and_have_one_commit(recipe, hub: Hub, home, tmp_path: Path) -> None:
    module = ["-m", "collotype", "run", str(recipe), "--out", str(tmp_path / "run")]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, **hub.environment(home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *module], env=environment, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr[-3000:]
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    tokenizers = ["tokenizer.json"] * 2
    assert fetched(hub.requests()) == ["adapter_model.safetensors", "data%2Ftrain-0.parquet", *shards, *tokenizers]
    record = read_json(tmp_path / "run/record.json")
    assert record["plan"]["processes"] == 2 and set(record["hub"]) == {ADAPTER, BASE, "datasets/org/train"}


def test_each_of_two_machines_fetches_each_file_once(recipe, hub: Hub, home, tmp_path: Path) -> None:
    """Two nodes are two caches: here two folders, on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    module = ["-m", "collotype", "run", str(recipe), "--out", str(tmp_path / "run")]
    nodes = []
    for rank in range(2):
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
        launcher += [f"--node-rank={rank}", "--master-addr=127.0.0.1", f"--master-port={port}"]
        environment = {**os.environ, **hub.environment(tmp_path / f"machine-{rank}"), "OMP_NUM_THREADS": "1"}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        nodes.append(subprocess.Popen([*launcher, *module], env=environment, **streams))
    said = [node.communicate(timeout=550)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], "\n".join(one[-2000:] for one in said)
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    once = ["adapter_model.safetensors", "data%2Ftrain-0.parquet", *shards, *["tokenizer.json"] * 2]
    assert fetched(hub.requests()) == sorted(once * 2)
    caches = [{file.name for file in (tmp_path / f"machine-{rank}").rglob("*.safetensors")} for rank in range(2)]
    assert caches[0] == caches[1] >= set(shards)
    assert read_json(tmp_path / "run/record.json")["plan"]["processes"] == 2
