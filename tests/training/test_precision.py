"""Half precision: what stays in full, and what happens when fp16 overflows."""

import json
from pathlib import Path

import pytest
import torch

from collotype.runtime.errors import UserError
from collotype.runtime.world import World
from collotype.training.loop import train
from collotype.training.precision import PRECISIONS, LossScale, resolve_precision
from tests.training.toy import ToyTask, toy_recipe

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def gpu(monkeypatch: pytest.MonkeyPatch, bf16: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")


def test_auto_takes_what_the_device_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_precision("auto", CPU).name == "fp32"
    for bf16, name in ((True, "bf16"), (False, "fp16")):
        gpu(monkeypatch, bf16)
        assert resolve_precision("auto", GPU).name == name


def test_bf16_on_a_card_without_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu(monkeypatch, bf16=False)
    with pytest.raises(UserError, match="bf16, which Tesla V100 does not support; use auto, fp16"):
        resolve_precision("bf16", GPU)


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class Evidence(ToyTask):
    """Remembers the types of the model's outputs and of what the loss gets."""

    def __init__(self, *settings):
        super().__init__(*settings)
        self.types: dict[str, torch.dtype] = {}

    def outputs(self, model, batch):
        batch = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in batch.items()}
        outputs = super().outputs(model, batch)
        self.types["outputs"] = outputs["left"].dtype
        return outputs

    def loss(self, outputs):
        loss = super().loss(outputs)
        self.types |= {"scored": outputs["left"].dtype, "loss": loss.value.dtype}
        return loss


@pytest.mark.parametrize(("precision", "half"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
@pytest.mark.parametrize("coupled", [True, False])
def test_half_precision_trains_full_weights_on_a_full_loss(
    precision: str, half: torch.dtype, coupled: bool, tmp_path: Path
) -> None:
    first = {}
    for name in (precision, "fp32"):
        recipe = toy_recipe(precision=name, micro_batch=4)
        task = Evidence(recipe, coupled)
        training = train(task, recipe, tmp_path / name, World(), CPU)
        expected = half if name == precision else torch.float32
        assert task.types == {"outputs": expected, "scored": torch.float32, "loss": torch.float32}
        assert {tensor.dtype for tensor in training.model.state_dict().values()} == {torch.float32}
        first[name] = rows(tmp_path / name)[0]["loss"]
    assert first[precision] == pytest.approx(first["fp32"], rel=0.01) and first[precision] != first["fp32"]


def test_frozen_weights_are_held_in_half() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[0].requires_grad_(False)
    PRECISIONS["bf16"].place(model, CPU)
    assert (model[0].weight.dtype, model[1].weight.dtype) == (torch.bfloat16, torch.float32)


class Overflowing(ToyTask):
    """The gradient of some steps is too large for fp16; the weights before each step are kept."""

    def __init__(self, recipe, steps: set[int]):
        super().__init__(recipe)
        self.steps, self.weights = steps, []

    def outputs(self, model, batch):
        self.weights.append(model[0].weight.detach().clone())
        batch = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in batch.items()}
        return super().outputs(model, batch)

    def loss(self, outputs):
        loss = super().loss(outputs)
        loss.value = loss.value * (1e9 if len(self.weights) in self.steps else 1.0)
        return loss


def test_a_step_that_overflows_is_skipped_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LossScale, "START", 256)
    recipe = toy_recipe(precision="fp16", steps=5)
    task = Overflowing(recipe, {2})
    training = train(task, recipe, tmp_path, World(), CPU)
    assert [row.get("skipped", False) for row in rows(tmp_path)] == [False, True, False, False, False]
    assert [row["loss_scale"] for row in rows(tmp_path)] == [256, 256, 128, 128, 128]
    assert torch.equal(task.weights[1], task.weights[2]) and not torch.equal(task.weights[0], task.weights[1])
    assert training.events == [{"kind": "step skipped: fp16 overflow", "step": 2}]


def test_overflow_without_end_is_an_error(tmp_path: Path) -> None:
    recipe = toy_recipe(precision="fp16", steps=40)
    with pytest.raises(UserError, match="Step 17: the loss is"):
        train(Overflowing(recipe, set(range(100))), recipe, tmp_path, World(), CPU)


def test_the_scale_grows_again_after_a_long_time_without_overflow() -> None:
    scale = LossScale.for_precision(PRECISIONS["fp16"])
    scale.fall()
    for _ in range(LossScale.GROW_AFTER):
        scale.hold()
    assert scale.value == LossScale.START
    unscaled = LossScale.for_precision(PRECISIONS["bf16"])
    for _ in range(LossScale.GROW_AFTER):
        unscaled.hold()
    assert (unscaled.value, unscaled.can_fall()) == (1.0, False)
