"""Encoding, scoring, saving and loading of a retriever."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import collotype
from collotype.families import task_for
from collotype.families.retriever.data.sheets import SheetImages, held_out_sheets
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError

QUERIES = ["red apple and bicycle", "umbrella", "american football and steam locomotive"]


@pytest.fixture(scope="module")
def pages() -> list[Image.Image]:
    images = SheetImages()
    return [images.draw(sheet, "a test") for sheet in held_out_sheets(images)[:5]]


@pytest.fixture(scope="module", params=["desk-colpali", "desk-bipali"])
def model(request: pytest.FixtureRequest):
    return task_for(load_recipe(request.param)).build()


def test_embeddings_are_unit_vectors_of_the_stated_shape(model, pages: list) -> None:
    late = model.config.interaction == "late"
    queries, encoded = model.encode_queries(QUERIES), model.encode_pages(pages)
    lengths = [len(model.processor.query_ids(query)[0]) for query in QUERIES] if late else [1, 1, 1]
    assert [list(vectors.shape) for vectors in queries] == [[length, 128] for length in lengths]
    length = len(model.processor.page_ids((96, 96))) if late else 1
    assert {tuple(vectors.shape) for vectors in encoded} == {(length, 128)}
    for vectors in [*queries, *encoded]:
        assert vectors.dtype is torch.float32
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(len(vectors)))


def test_batch_mates_change_no_embedding_and_no_score(model, pages: list) -> None:
    together, alone = model.encode_queries(QUERIES), [model.encode_queries([query])[0] for query in QUERIES]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    encoded = model.encode_pages(pages, batch_tokens=100)
    torch.testing.assert_close(torch.cat(encoded), torch.cat(model.encode_pages(pages)), atol=1e-6, rtol=0)
    scores = model.score(together, encoded)
    assert scores.shape == (3, 5) and scores.dtype is torch.float32
    singly = torch.stack([torch.cat([model.score([q], [p])[0] for p in encoded]) for q in together])
    torch.testing.assert_close(scores, singly, atol=1e-5, rtol=0)


def test_nothing_to_encode_or_score_is_no_error(model, pages: list) -> None:
    assert model.encode_queries([]) == [] == model.encode_pages([])
    assert model.score([], model.encode_pages(pages)).shape == (0, 5)


def test_the_backbone_has_no_language_model_head(model) -> None:
    assert not any("lm_head" in name for name, _ in model.named_parameters())


def test_initialisation_is_a_function_of_the_seed() -> None:
    first = task_for(load_recipe("desk-colpali")).build().state_dict()
    again = task_for(load_recipe("desk-colpali")).build().state_dict()
    other = task_for(load_recipe("desk-colpali", {"train.seed": 7})).build().state_dict()
    pinned = task_for(load_recipe("desk-colpali", {"train.seed": 7, "model.init_seed": 42})).build().state_dict()
    assert all(torch.equal(first[name], again[name]) and torch.equal(first[name], pinned[name]) for name in first)
    assert not torch.equal(first["custom_text_proj.weight"], other["custom_text_proj.weight"])


def test_a_saved_model_is_the_same_model(trained: Path, pages: list) -> None:
    model = collotype.load(trained / "model")
    (file,) = (trained / "checkpoints" / "step-000006").glob("*.safetensors")
    checkpoint = {
        name.removeprefix("model."): tensor for name, tensor in load_file(file).items() if name.startswith("model.")
    }
    assert all(torch.equal(tensor, checkpoint[name]) for name, tensor in model.state_dict().items())
    again = collotype.load(str(trained / "model"))
    first, second = (m.encode_queries(QUERIES) + m.encode_pages(pages) for m in (model, again))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("change", ["missing", "unknown", "shape", "twice"])
def test_weights_are_read_strictly(change: str, trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained / "model", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    if change == "missing":
        del tensors["custom_text_proj.bias"]
    elif change == "unknown":
        tensors["adapter.lora_A"] = torch.zeros(2)
    elif change == "shape":
        tensors["custom_text_proj.bias"] = torch.zeros(127)
    else:
        tensors["base_model.model.custom_text_proj.bias"] = torch.zeros(128)
    save_file(tensors, folder / "model.safetensors")
    words = {
        "missing": r"1 tensors are missing \(custom_text_proj.bias\)",
        "unknown": r"1 are unknown \(adapter.lora_A\)",
        "twice": r"1 tensors under two names \(custom_text_proj.bias\)",
        "shape": r"custom_text_proj.bias has the shape \[127\], but the model's has \[128\]",
    }
    with pytest.raises(UserError, match=words[change]):
        collotype.load(folder)


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "collotype.json"])
def test_a_model_folder_that_is_not_whole_is_refused(file: str, trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained / "model", tmp_path / "model")
    (folder / file).write_bytes((folder / file).read_bytes()[:50])
    with pytest.raises(UserError):
        collotype.load(folder)
    (folder / file).unlink()
    with pytest.raises(UserError):
        collotype.load(folder)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no retriever in a known layout"):
        collotype.load(tmp_path)
    (tmp_path / "collotype.json").write_text(json.dumps({"family": "poet"}))
    with pytest.raises(UserError, match="contains a poet model, not a retriever model"):
        collotype.load(tmp_path)


def test_a_model_of_a_later_version_is_refused(trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained / "model", tmp_path / "model")
    description = json.loads((folder / "collotype.json").read_text())
    (folder / "collotype.json").write_text(json.dumps({**description, "backbone": "paligemma9"}))
    with pytest.raises(UserError, match="the unknown backbone 'paligemma9'; the known ones are paligemma"):
        collotype.load(folder)
