"""Models by name: which family, which files, how many requests and bytes, and the very commit again."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import collotype
from collotype import families
from collotype.report.card import from_hub
from collotype.runtime.errors import UserError
from collotype.runtime.hub import commits
from tests.hub.conftest import Hub, fetched
from tests.hub.imitation import folder_files, publish
from tests.hub.repositories import ADAPTER, BASE, move_base, publish_adapter, publish_clip, publish_littered

CLIP = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
MOST_REQUESTS, LITTERED_REQUESTS, SECOND_REQUESTS = 42 + 2, 27, 3
"""Of the adapter and its base, for which transformers 5.23 makes 42 (`python -m tests.hub.costs`); of the littered
repository; of what is here already."""


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, work = tmp_path_factory.mktemp("published"), tmp_path_factory.mktemp("work")
    publish_adapter(root, work)
    publish_littered(root, work)
    publish_clip(root, work)
    return root


@pytest.fixture
def root(published: Path, tmp_path: Path) -> Path:
    """A copy that a test may change: links to the session's files."""
    for file in published.rglob("*"):
        copy = tmp_path / "root" / file.relative_to(published)
        if file.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes()) if file.suffix == ".json" else copy.hardlink_to(file)
    return tmp_path / "root"


def sizes(root: Path, name: str, files: list[str]) -> int:
    folder = next(path for path in (root / "models" / name).iterdir() if path.is_dir())
    return sum((folder / file).stat().st_size for file in files)


def test_an_adapter_costs_the_files_that_are_read(root: Path, hub: Hub, home: Path, offline) -> None:
    model = collotype.load(ADAPTER)
    requests = hub.requests()
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert fetched(requests) == ["adapter_model.safetensors", *shards, "tokenizer.json", "tokenizer.json"]
    read = ["config.json", "preprocessor_config.json", "tokenizer.json", *shards, "model.safetensors.index.json"]
    used = sizes(root, BASE, read) + sizes(
        root, ADAPTER, ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"]
    )
    assert len(requests) <= MOST_REQUESTS and sum(entry["bytes"] for entry in requests) <= 1.02 * used
    again = collotype.load(ADAPTER)
    assert len(hub.requests()) <= SECOND_REQUESTS
    offline()
    assert collotype.load(ADAPTER).digest() == again.digest() == model.digest() and hub.requests() == []


def test_litter_is_left_where_it_is(root: Path, hub: Hub, home: Path) -> None:
    collotype.load("someone/colpali-littered")
    requests = hub.requests()
    assert fetched(requests) == ["model.safetensors", "tokenizer.json"] and len(requests) <= LITTERED_REQUESTS
    there = sizes(root, "someone/colpali-littered", ["model.safetensors", "tokenizer.json"])
    assert sum(entry["bytes"] for entry in requests) < there + 20_000


@pytest.mark.parametrize("name", [CLIP, f"hf-hub:{CLIP}", "address", f"{CLIP}/"])
def test_a_clip_is_known_by_its_listing(name: str, root: Path, hub: Hub, home: Path) -> None:
    name = f"{hub.endpoint}/{CLIP}/tree/main" if name == "address" else name
    assert families.family_of(name) == "clip"
    assert fetched(hub.requests()) == []
    assert type(collotype.load(name)).__name__ == "Clip"
    assert fetched(hub.requests()) == ["open_clip_model.safetensors"]


def test_what_is_no_model_of_ours_is_told_before_a_byte_of_weights(root: Path, hub: Hub, home: Path) -> None:
    bert = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"w" * 1000}
    publish(root, "models", "org/bert", bert)
    publish(root, "models", "org/gguf", {"model.gguf": b"w" * 1000, "README.md": b""})
    paligemma = json.dumps({"model_type": "paligemma"}).encode()
    publish(root, "models", "org/pickled", {"config.json": paligemma, "pytorch_model.bin": b"w" * 1000})
    for name, words in (
        ("org/bert", "describes a 'bert' model"),
        ("org/gguf", r"no retriever in a known layout \(it contains README.md, model.gguf\)"),
        ("org/pickled", r"contains no model.safetensors \(pytorch_model.bin is a pickle"),
    ):
        with pytest.raises(UserError, match=words):
            collotype.load(name)
    assert fetched(hub.requests()) == []


def test_a_base_that_moved_is_another_model_and_the_old_one_is_kept(root, hub, home, tmp_path, offline) -> None:
    with commits() as used:
        before = collotype.load(ADAPTER).digest()
    assert sorted(used) == [ADAPTER, BASE]
    move_base(root, tmp_path)
    assert collotype.load(ADAPTER).digest() != before
    assert collotype.load(ADAPTER, base=f"{BASE}@{used[BASE]}").digest() == before
    hub.requests()
    offline()
    with commits(used):
        assert collotype.load(ADAPTER).digest() == before
    assert hub.requests() == []


def test_the_revision_that_peft_notes_is_the_bases(root: Path, hub: Hub, home: Path, tmp_path: Path) -> None:
    with commits() as used:
        before = collotype.load(ADAPTER).digest()
    move_base(root, tmp_path)
    (folder,) = (path for path in (root / "models" / ADAPTER).iterdir() if path.is_dir())
    stated = json.loads((folder / "adapter_config.json").read_text()) | {"revision": used[BASE]}
    files = {**folder_files(folder), "adapter_config.json": json.dumps(stated).encode()}
    publish(root, "models", ADAPTER, files)
    assert collotype.load(ADAPTER).digest() == before


def test_an_export_says_where_it_came_from(root: Path, hub: Hub, home: Path, tmp_path: Path) -> None:
    with commits() as used:
        families.export(ADAPTER, "transformers", tmp_path / "out", preset="colpali-transformers")
    card = (tmp_path / "out" / "README.md").read_text()
    assert from_hub(used)["from the hub"] in card and used[BASE] in card
    assert torch.is_tensor(next(iter(load_file(tmp_path / "out" / "model.safetensors").values())))
