"""What people write for a repository of the hub."""

from pathlib import Path

import pytest

import collotype
from collotype.runtime.errors import UserError
from collotype.runtime.hub import parse, plain
from collotype.runtime.tables.files import find_table
from tests.hub.conftest import Hub

COMMIT = "1b5c8929330df1a66de441a9b5409a878f0de5b0"


@pytest.mark.parametrize(
    ("text", "repository", "revision"),
    [
        ("vidore/colpali-v1.3", "vidore/colpali-v1.3", None),
        ("vidore/colpali-v1.3/", "vidore/colpali-v1.3", None),
        ("vidore/colpali-v1.3@v1.0", "vidore/colpali-v1.3", "v1.0"),
        (f"vidore/colpali-v1.3@{COMMIT}", "vidore/colpali-v1.3", COMMIT),
        ("vidore/colpali-v1.3@refs/pr/5", "vidore/colpali-v1.3", "refs/pr/5"),
        ("hf-hub:laion/CLIP-ViT-B-32@main", "laion/CLIP-ViT-B-32", "main"),
        ("hf://vidore/colpali-v1.3@v1.0", "vidore/colpali-v1.3", "v1.0"),
        ("https://huggingface.co/vidore/colpali-v1.3", "vidore/colpali-v1.3", None),
        ("https://huggingface.co/vidore/colpali-v1.3/", "vidore/colpali-v1.3", None),
        ("http://www.huggingface.co/vidore/colpali-v1.3?library=colpali#usage", "vidore/colpali-v1.3", None),
        ("huggingface.co/vidore/colpali-v1.3/tree/v1.0", "vidore/colpali-v1.3", "v1.0"),
        ("https://hf.co/vidore/colpali-v1.3/blob/main/config.json", "vidore/colpali-v1.3", "main"),
        ("https://huggingface.co/a/b/tree/refs%2Fpr%2F5", "a/b", "refs/pr/5"),
        ("https://huggingface.co/a/b/blob/refs/pr/5/config.json", "a/b", "refs/pr/5"),
        (f"https://huggingface.co/a/b/commit/{COMMIT}", "a/b", COMMIT),
        ("https://huggingface.co/a/b.git", "a/b", None),
        ("https://mirror.example/a/b/tree/v1", "a/b", "v1"),
    ],
)
def test_a_name_or_an_address_is_a_repository_at_a_revision(text, repository, revision, monkeypatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    found = parse(text, "model")
    assert (found.repository, found.revision, found.commit) == (repository, revision, "")
    assert plain(text) == repository


@pytest.mark.parametrize(
    "text", ["vidore/set@v2", "datasets/vidore/set@v2", "https://huggingface.co/datasets/vidore/set/viewer/en/train"]
)
def test_a_dataset_may_say_that_it_is_one(text: str) -> None:
    found = parse(text, "dataset")
    assert (found.kind, found.repository) == ("dataset", "vidore/set")
    assert found.key == "datasets/vidore/set" + ("@v2" if "@" in text else "")


@pytest.mark.parametrize("text", ["model", "a/b/c", "/a/b", "./a/b", "../a", "a b/c", "a/b@", "@a/b", "C:\\a\\b", ""])
def test_what_can_be_no_repository_is_none(text: str) -> None:
    assert parse(text, "model") is None and plain(text) == text


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("https://huggingface.co/datasets/vidore/set", "model", "is a dataset on the hub, but a model is needed"),
        ("datasets/vidore/set", "model", "is a dataset on the hub, but a model is needed"),
        ("https://huggingface.co/vidore/colpali", "dataset", "is a model on the hub, but a dataset is needed"),
        ("https://huggingface.co/spaces/vidore/demo", "model", "is not the address of a model on the hub"),
        ("https://huggingface.co/collections/vidore/demo-1", "model", "is not the address of a model on the hub"),
        ("https://huggingface.co/vidore", "model", "is not the address of a model on the hub"),
    ],
)
def test_an_address_of_something_else_is_refused(text: str, kind: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse(text, kind)


def test_a_path_that_is_not_there_is_said_to_be_none_before_the_hub_is_asked(hub: Hub, home: Path) -> None:
    for path in ("runs/foo", "checkpoints/epoch_3", "./x", "../a/b", "~/models/x", "/nowhere/x", "a/b/c", "org/x.pt"):
        with pytest.raises(UserError, match=r"There is no f(older or file|ile) .*check the path"):
            collotype.load(path)
    with pytest.raises(UserError, match="There is no table data/pages"):
        find_table("data/pages", "train")
    assert hub.requests() == []
    for name in ("nowhere/x", "hf-hub:runs/foo", f"{hub.endpoint}/a/b/blob/main/model.safetensors"):
        with pytest.raises(UserError, match=r"There is no folder .* here, and on the hub no model of that name"):
            collotype.load(name)
    assert hub.requests()
