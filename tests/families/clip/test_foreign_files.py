"""Files of OpenAI (TorchScript) and Lightning: read as tensors, or refused with the command that converts them."""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from collotype import families
from collotype.families.clip.checkpoints.reading import read
from collotype.runtime.errors import UserError
from tests.families.clip.test_checkpoints import assert_same, make


class Shell(nn.Module):
    """Parameters in modules of their names, for what only keeps them."""

    def __init__(self, state: dict[str, Tensor]):
        super().__init__()
        for key, tensor in state.items():
            *above, name = key.split(".")
            place = self
            for part in above:
                if not hasattr(place, part):
                    place.add_module(part, nn.Module())
                place = getattr(place, part)
            place.register_buffer(name, tensor)

    def forward(self, given: Tensor) -> Tensor:
        return given + 1


def convert(message: str, folder: Path) -> None:
    """Runs the command that an error told."""
    code = re.search(r'python -c "(.*)"', message)[1]
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)


@pytest.mark.parametrize("of_openai", [True, False])
def test_a_torchscript_file_is_refused_with_the_command_that_converts_it(of_openai: bool, tmp_path: Path) -> None:
    model = make("tiny-rn", "quick_gelu")
    state = dict(model.state_dict())
    if of_openai:
        state |= {name: torch.tensor(224) for name in ("input_resolution", "context_length", "vocab_size")}
    torch.jit.trace(Shell(state), torch.zeros(1)).save(tmp_path / "RN50.pt")
    with pytest.raises(UserError, match="is a program \\(TorchScript\\)") as caught:
        read(tmp_path / "RN50.pt", "quick_gelu")
    convert(str(caught.value), tmp_path)
    assert_same(read(tmp_path / "RN50.safetensors", "quick_gelu").model(), model)


@pytest.mark.parametrize("prefix", ["model.", "net.clip.", "", "module."])
def test_a_lightning_checkpoint_is_read_under_whatever_its_module_is_called(prefix: str, tmp_path: Path) -> None:
    model = make("tiny-vit")
    file = tmp_path / "epoch=3-step=12.ckpt"
    lightning = {"epoch": 3, "pytorch-lightning_version": "2.5.0", "callbacks": {}, "hyper_parameters": {"lr": 1e-3}}
    state = {f"{prefix}{key}": tensor for key, tensor in model.state_dict().items()}
    torch.save({**lightning, "state_dict": state}, file)
    assert_same(read(file, "gelu").model(), model)
    torch.save({**lightning, "state_dict": {**state, "loss.weight": torch.zeros(2)}}, file)
    with pytest.raises(UserError, match=r"1 are unknown \(loss\.weight\)"):
        read(file, "gelu").model()


def test_a_checkpoint_with_objects_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    model = make("tiny-vit")
    file = tmp_path / "last.ckpt"
    hyper_parameters = argparse.Namespace(lr=1e-3)
    torch.save({"state_dict": dict(model.state_dict()), "hyper_parameters": hyper_parameters}, file)
    with pytest.raises(UserError, match="holds more than tensors") as caught:
        read(file, "gelu")
    convert(str(caught.value), tmp_path)
    assert_same(read(tmp_path / "last.safetensors", "gelu").model(), model)


@pytest.mark.parametrize(
    "source", ["logs/run/epoch_30.pt", "epoch_30.pth", "./model", "~/clip", "/nowhere/clip", "a/b/c"]
)
def test_what_is_not_there_is_said_to_be_not_there(source: str) -> None:
    for use in (families.load, lambda name: families.options_for(name, {"activation": "gelu"}), families.family_of):
        with pytest.raises(UserError, match=f"There is no (file|folder or file) {re.escape(source)}"):
            use(source)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, 3.0])
def test_weights_that_cannot_be_right_are_named(value: float, tmp_path: Path) -> None:
    model = make("tiny-vit")
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    name = "visual.transformer.resblocks.0.mlp.c_fc.weight"
    state[name][... if value in (0, 3) else 0] = value
    torch.save({"state_dict": state}, tmp_path / "epoch_1.pt")
    if value not in (0, 3):
        with pytest.raises(UserError, match=f"{re.escape(name)} has values that are not finite"):
            families.load(str(tmp_path / "epoch_1.pt"), activation="gelu")
        return
    (found,) = families.load(str(tmp_path / "epoch_1.pt"), activation="gelu").events
    assert found["kind"] == "constant weights" and f"{name} is {value:g} throughout" in found["note"]


@pytest.mark.parametrize("size", ["tiny-rn", "tiny-vit"])
def test_what_training_starts_from_is_no_cause_for_alarm(size: str, tmp_path: Path) -> None:
    torch.save(make(size).state_dict(), tmp_path / "start.pt")
    assert not read(tmp_path / "start.pt", "gelu").model().events
