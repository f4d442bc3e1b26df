"""Files that disagree and weights that cannot be right are told; a model that sees nothing is not measured."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.image_processing_base import ImageProcessingMixin

import collotype
from collotype import families
from collotype.families.retriever.checkpoints.reading import export
from collotype.recipe.load import load_evaluation
from collotype.runtime.errors import UserError
from tests.families.retriever.benchmarks.parquet_sets import png, sheets_as_qa, write_qa
from tests.families.retriever.test_checkpoints import make

PRESET = "colqwen2-engine-0.3.4"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("engine") / "model"
    export(make("colqwen2"), "engine", folder, "card")
    return folder


def copied(saved: Path, folder: Path) -> Path:
    return Path(shutil.copytree(saved, folder / "model"))


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("named", ["max_pixels", "longest_edge"])
def test_of_two_processor_files_transformers_priority_wins_and_is_told(saved, nested, named, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path)
    stale = json.loads((folder / "preprocessor_config.json").read_text())
    for name, tokens in (("preprocessor_config.json", 20), ("processor_config.json", 50)):
        size = {**stale["size"], "longest_edge": tokens * 28 * 28}
        values = {**stale, "size": size} | ({"max_pixels": tokens * 28 * 28} if named == "max_pixels" else {})
        is_nested = nested and name.startswith("processor")
        (folder / name).write_text(json.dumps({"image_processor": values} if is_nested else values))
    theirs, _ = ImageProcessingMixin.get_image_processor_dict(folder)
    assert theirs["size"]["longest_edge"] == (50 if nested else 20) * 28 * 28
    model = collotype.load(folder, preset=PRESET)
    assert model.config.preset.max_visual_tokens == (50 if nested else 20)
    told = [event["note"] for event in model.events if event["kind"] == "files differ"]
    assert bool(told) == nested
    assert not nested or "50 by processor_config.json and 20 by preprocessor_config.json" in told[0]


def changed(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_a_type_that_no_weight_has_is_told_when_it_is_loaded_and_exported(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path)
    changed(folder / "config.json", dtype="bfloat16")
    (event,) = collotype.load(folder, preset=PRESET).events
    assert "the weights are float32, but config.json says bfloat16; theirs is used" in event["note"]
    assert event["note"] in families.export(folder, "engine", tmp_path / "out", preset=PRESET)


def test_a_budget_that_the_processor_of_an_exported_folder_changes_is_taken_and_told(
    saved: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "exported"
    families.export(saved, "sentence-transformers", folder, preset=PRESET)
    assert not collotype.load(folder).events
    size = json.loads((folder / "preprocessor_config.json").read_text())["size"]
    changed(folder / "preprocessor_config.json", size={**size, "longest_edge": 20 * 28 * 28})
    model = collotype.load(folder)
    assert model.config.preset.max_visual_tokens == 20
    assert ["20 by its processor's file" in event["note"] for event in model.events] == [True]


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("colqwen2", {"patch_size": 16}, "the patch_size 16, but config.json has the patch_size 14"),
        ("colqwen2", {"merge_size": 4}, "the merge_size 4, but config.json has the spatial_merge_size 2"),
        ("colpali", {"size": {"height": 448, "width": 448}}, "the height 448, but config.json has the image_size"),
    ],
)
def test_a_processor_of_another_model_is_refused(name: str, change: dict, problem: str, tmp_path: Path) -> None:
    model = make(name)
    export(model, "engine", tmp_path / "model", "card")
    file = tmp_path / "model" / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(UserError, match=problem):
        collotype.load(tmp_path / "model", preset=model.config.preset.name)


def zeroed(folder: Path, part: str) -> Path:
    tensors = load_file(folder / "model.safetensors")
    zeros = {name: torch.zeros_like(tensor) for name, tensor in tensors.items() if part in name}
    save_file({**tensors, **zeros}, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_zeros_in_a_norm_are_named_and_biases_are_not(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path)
    assert not collotype.load(folder, preset=PRESET).events
    zeroed(folder, "visual.blocks.0.norm2.")
    (found,) = collotype.load(folder, preset=PRESET).events
    assert "visual.blocks.0.norm2.weight is 0 throughout" in found["note"] and "bias" not in found["note"]
    options = load_evaluation("retriever", suite="qa", path=str(sheets_as_qa(tmp_path / "qa", 3)))
    (measured,) = families.evaluate([folder], options, preset=PRESET)[str(folder)]
    assert "constant weights" in {event["kind"] for event in measured.facts["events"]}


@pytest.mark.parametrize("name", ["colpali", "colqwen2"])
def test_random_weights_are_no_cause_for_alarm(name: str, tmp_path: Path) -> None:
    export(make(name), "engine", tmp_path / "model", "card")
    assert not collotype.load(tmp_path / "model", preset=make(name).config.preset.name).events


def test_a_model_that_sees_no_difference_between_pages_is_not_measured(saved: Path, tmp_path: Path) -> None:
    """As `vidore/colqwen2.5-base` was published (colpali issue 384)."""
    folder = copied(saved, tmp_path)
    zeroed(folder, "visual.merger.ln_q.")
    sheets = load_evaluation("retriever", suite="qa", path=str(sheets_as_qa(tmp_path / "qa", 4)))
    with pytest.raises(UserError, match=r"4 pages have only 1 different embeddings .0 and 1 have the same one"):
        families.evaluate([folder], sheets, preset=PRESET)
    same = [(text, png("red"), f"{text}.png") for text in ("red", "apple")]
    alike = load_evaluation("retriever", suite="qa", path=str(write_qa(tmp_path / "alike", same)))
    assert families.evaluate([saved], alike, preset=PRESET)
