"""Fine-tuning: what is trained, kept and resumed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import collotype
from collotype.families import task_for
from collotype.families.retriever.checkpoints import native
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError

LORA = {
    "model.lora": {"rank": 4, "alpha": 8, "dropout": 0.1},
    "train.batch": 8,
    "train.micro_batch": 4,
    "train.steps": 4,
    "train.checkpoint_every": 2,
    "evaluate": [],
    "expect": [],
}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def test_the_base_stays_and_the_adapter_is_trained(tmp_path: Path) -> None:
    collotype.run("desk-colpali", out=tmp_path / "run", overrides=LORA)
    before, after = task_for(load_recipe("desk-colpali")).build().state_dict(), weights(tmp_path / "run")
    base = [name for name in after if "lora" not in name]
    assert sorted(base) == sorted(before) and all(torch.equal(after[name], before[name]) for name in base)
    assert all(after[name].abs().sum() > 0 for name in after if "lora_B" in name)


def test_checkpoints_hold_what_is_trained_and_a_stopped_run_goes_on_from_them(tmp_path: Path) -> None:
    collotype.run("desk-colpali", out=tmp_path / "straight", overrides=LORA)
    collotype.run("desk-colpali", out=tmp_path / "cut", overrides=LORA)
    (tmp_path / "cut" / "record.json").unlink()
    newest = tmp_path / "cut" / "checkpoints" / "step-000004"
    names = {name for file in newest.glob("*.safetensors") for name in load_file(file)}
    held = {name for name in names if name.startswith("model.")}
    assert held and all("lora" in name for name in held)
    (newest / "state.json").write_text("damaged")
    collotype.run("desk-colpali", out=tmp_path / "cut", overrides=LORA, resume=True)
    one, other = weights(tmp_path / "straight"), weights(tmp_path / "cut")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_base_in_four_bits_is_trained_on_and_saved_as_it_was(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    plain = collotype.run("desk-colpali", out=tmp_path / "plain", overrides=LORA)
    small = collotype.run("desk-colpali", out=tmp_path / "small", overrides={**LORA, "model.quantize": "nf4"})
    one, other = weights(tmp_path / "plain"), weights(tmp_path / "small")
    assert sorted(one) == sorted(other)
    assert all(torch.equal(one[name], other[name]) for name in one if "lora" not in name)
    assert any(not torch.equal(one[name], other[name]) for name in one if "lora" in name)
    assert plain.model().config == small.model().config
    model = task_for(load_recipe("desk-colpali", {**LORA, "model.quantize": "nf4"})).build()
    frozen = [value for name, value in model.named_parameters() if "language_model" in name and "proj.base" in name]
    assert frozen and all(value.dtype is torch.uint8 for value in frozen)


def test_settings_that_cannot_be_are_named() -> None:
    with pytest.raises(UserError, match="quantize is nf4, but quantized weights cannot be trained; add lora"):
        load_recipe("desk-colpali", {"model.quantize": "nf4"})
    with pytest.raises(UserError, match="4-bit weights cannot be sharded"):
        load_recipe("desk-colpali", {**LORA, "model.quantize": "nf4", "train.shard": "fsdp"})
    with pytest.raises(UserError, match=r"matches none of the model's \d+ linear layers"):
        task_for(load_recipe("desk-colpali", {**LORA, "model.lora.targets": "q_proj"})).build()
    with pytest.raises(UserError, match=r"is not a regular expression"):
        task_for(load_recipe("desk-colpali", {**LORA, "model.lora.targets": "("})).build()
    with pytest.raises(UserError, match="found both of size"):
        load_recipe("desk-colpali", {"model.weights": "somewhere"})


def test_a_run_does_not_go_on_from_other_frozen_weights(tmp_path: Path) -> None:
    def start(seed: int) -> None:
        native.write(task_for(load_recipe("desk-colpali", {"model.init_seed": seed})).build(), tmp_path / "start")

    changes = {**LORA, "model.size": None, "model.weights": str(tmp_path / "start")}
    start(1)
    collotype.run("desk-colpali", out=tmp_path / "run", overrides=changes)
    start(2)
    with pytest.raises(UserError, match="started from different weights"):
        collotype.run("desk-colpali", out=tmp_path / "run", overrides=changes, resume=True)


def test_an_adapter_is_saved_beside_the_address_of_its_base_which_has_to_be_the_same(tmp_path: Path) -> None:
    base = tmp_path / "base"
    native.write(task_for(load_recipe("desk-colpali")).build(), base)
    changes = {**LORA, "model.weights": str(base), "model.size": None}
    run = collotype.run("desk-colpali", out=tmp_path / "run", overrides=changes)
    held = weights(tmp_path / "run")
    assert held and all("lora_" in name for name in held)
    model = run.model()
    theirs = load_file(base / "model.safetensors")
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in base_weights(model).items())
    moved = base.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="which was not found; give its path with --base"):
        collotype.load(tmp_path / "run" / "model")
    assert collotype.load(tmp_path / "run" / "model", base=moved).digest() == model.digest()
    native.write(task_for(load_recipe("desk-colpali", {"train.seed": 5})).build(), base)
    with pytest.raises(UserError, match=r"was trained on .* but .* has other weights"):
        collotype.load(tmp_path / "run" / "model")


def base_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    named = {model.row.canonical(name.replace(".base_layer.", ".")): one for name, one in model.named_parameters()}
    return {name: one for name, one in named.items() if ".lora_" not in name}
