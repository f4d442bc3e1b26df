"""Published files are read to the same embeddings, what is written is read again exactly, and nothing is guessed."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from collotype.families.clip.checkpoints import native
from collotype.families.clip.checkpoints.checkpoint import at_size
from collotype.families.clip.checkpoints.open_clip import from_open_clip, to_open_clip
from collotype.families.clip.checkpoints.reading import export, read
from collotype.families.clip.config import VisionConfig, sized
from collotype.families.clip.model import Clip
from collotype.families.clip.tokenizer import bpe_tokenizer, word_tokenizer
from collotype.runtime.errors import UserError
from collotype.runtime.tensor_files import parameters_on_meta

RN50 = {
    "embed_dim": 1024,
    "vision_cfg": {"image_size": 224, "layers": [3, 4, 6, 3], "width": 64, "patch_size": None},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
}
"""open_clip's RN50.json."""
PREPROCESS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic", "resize_mode": "squash"}
SIZES = pytest.mark.parametrize("size", ["tiny-rn", "tiny-vit"])


def make(size: str, activation: str = "gelu", siglip: bool = False) -> Clip:
    torch.manual_seed(0)
    config = sized(size, activation, siglip=siglip)
    return Clip(config, bpe_tokenizer(config.text_cfg.context_length)).eval()


def assert_same(found: Clip, wanted: Clip) -> None:
    assert found.config == wanted.config
    assert found.tokenizer.to_str() == wanted.tokenizer.to_str()
    state, other = found.state_dict(), wanted.state_dict()
    assert state.keys() == other.keys()
    assert all(torch.equal(state[key], other[key]) for key in state)
    assert not found.training


def save_checkpoint(file: Path, state: dict[str, Tensor]) -> Path:
    """As open_clip's trainer does."""
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    torch.save({"epoch": 3, "name": "a run", "state_dict": state, "optimizer": optimizer}, file)
    return file


@SIZES
@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_our_folder_is_read_again_exactly(size: str, activation: str, tmp_path: Path) -> None:
    model = make(size, activation, siglip=True)
    model.config = replace(model.config, preprocess_cfg=replace(model.config.preprocess_cfg, mean=(0.1, 0.2, 0.3)))
    native.write(model, tmp_path / "model")
    assert_same(read(tmp_path / "model").model(), model)


def test_words_of_a_desk_come_back_with_the_model(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(["a red apple"], context_length=24)
    model = Clip(sized("desk-rn", vocab_size=tokenizer.vocab_size), tokenizer).eval()
    native.write(model, tmp_path / "model")
    found = read(tmp_path / "model").model()
    assert_same(found, model)
    assert torch.equal(found.encode_texts(["red apple"]), model.encode_texts(["red apple"]))
    with pytest.raises(UserError, match="CLIP's vocabulary, but this model has its own of 6 words"):
        export(model, "open_clip", tmp_path / "out", "card")
    assert not (tmp_path / "out").exists()


@SIZES
@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_what_is_exported_is_read_again_exactly(size: str, activation: str, tmp_path: Path) -> None:
    model = make(size, activation, siglip=size == "tiny-vit")
    export(model, "open_clip", tmp_path / "out", "a card")
    assert_same(read(tmp_path / "out").model(), model)
    assert (tmp_path / "out" / "README.md").read_text() == "a card"
    # the names of the published layout, without one more
    assert load_file(tmp_path / "out" / "open_clip_model.safetensors").keys() == model.state_dict().keys()


@pytest.mark.parametrize("change", [{}, {"quick_gelu": True}, {"init_logit_scale": 2.3, "init_logit_bias": -10.0}])
def test_a_published_configuration_comes_back_as_it_was(change: dict) -> None:
    published = {"model_cfg": {**RN50, **change}, "preprocess_cfg": PREPROCESS}
    config = from_open_clip(published, "here")
    assert to_open_clip(config) == published
    assert config.activation == ("quick_gelu" if change.get("quick_gelu") else "gelu")
    assert from_open_clip({"model_cfg": RN50}, "here") == sized("RN50")


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("vision_cfg", "timm_model_name", "vit_base_patch16_siglip_224"),
        ("vision_cfg", "pool_type", "avg"),
        ("vision_cfg", "ls_init_value", 1e-5),
        ("text_cfg", "hf_model_name", "roberta-base"),
        ("text_cfg", "hf_tokenizer_name", "timm/ViT-B-16-SigLIP"),
        ("text_cfg", "no_causal_mask", True),
        ("text_cfg", "tokenizer_kwargs", {"clean": "canonicalize"}),
        ("model_cfg", "multimodal_cfg", {"width": 512}),
        ("preprocess_cfg", "mode", "L"),
    ],
)
def test_another_architecture_is_refused_by_name(part: str, field: str, value: object) -> None:
    values = json.loads(json.dumps({"model_cfg": RN50, "preprocess_cfg": PREPROCESS}))
    owner = values["model_cfg"][part] if part in RN50 else values[part]
    owner[field] = value
    with pytest.raises(UserError, match=f"{part}.{field} is {re.escape(repr(value))}"):
        from_open_clip(values, "here")


def test_what_only_says_what_is_so_anyway_is_read() -> None:
    values = json.loads(json.dumps({"model_cfg": {**RN50, "custom_text": True}, "preprocess_cfg": PREPROCESS}))
    values["model_cfg"]["vision_cfg"] |= {"pool_type": "tok", "timm_model_name": None, "patch_dropout": 0.0}
    values["model_cfg"]["text_cfg"] |= {"pool_type": "argmax", "no_causal_mask": False, "tokenizer_kwargs": {}}
    values["preprocess_cfg"] |= {"size": 224, "mode": "RGB", "fill_color": 0}
    assert replace(from_open_clip(values, "here"), preprocess_cfg=sized("RN50").preprocess_cfg) == sized("RN50")


@SIZES
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_a_training_checkpoint_is_read(size: str, prefix: str, tmp_path: Path) -> None:
    model = make(size, "quick_gelu")
    state = {prefix + key: value for key, value in model.state_dict().items()}
    file = save_checkpoint(tmp_path / "epoch_3.pt", state)
    assert_same(read(file, "quick_gelu").model(), model)


def test_a_bare_state_dict_is_read_whatever_its_container(tmp_path: Path) -> None:
    model = make("tiny-rn", siglip=True)
    state = model.state_dict()
    torch.save(state, tmp_path / "new.pt")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "model.safetensors")
    for file in tmp_path.iterdir():
        assert_same(read(file, "gelu").model(), model)


def test_the_text_prefix_and_scalars_as_vectors_are_read(tmp_path: Path) -> None:
    model = make("tiny-vit")
    state = {
        key if key.startswith("visual.") or key == "logit_scale" else f"text.{key}": value
        for key, value in model.state_dict().items()
    }
    state["logit_scale"] = state["logit_scale"].reshape(1)
    folder = tmp_path / "hub"
    folder.mkdir()
    description = to_open_clip(model.config)
    description["model_cfg"]["custom_text"] = True
    (folder / "open_clip_config.json").write_text(json.dumps(description))
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    assert "text.text_projection" in state
    assert_same(read(folder).model(), model)


def test_the_activation_is_never_guessed(tmp_path: Path) -> None:
    model = make("tiny-rn", "quick_gelu")
    file = save_checkpoint(tmp_path / "epoch_3.pt", model.state_dict())
    with pytest.raises(UserError, match="does not say whether it was trained with GELU or QuickGELU"):
        read(file)
    with pytest.raises(UserError, match="Unknown activation 'relu'; the known ones are gelu, quick_gelu"):
        read(file, "relu")
    native.write(model, tmp_path / "ours")
    export(model, "open_clip", tmp_path / "hub", "card")
    for folder in ("ours", "hub"):
        assert read(tmp_path / folder, "quick_gelu").config.activation == "quick_gelu"
        with pytest.raises(UserError, match="has the activation quick_gelu, not gelu"):
            read(tmp_path / folder, "gelu")


def test_another_vocabulary_is_refused_before_it_is_used(tmp_path: Path) -> None:
    """Neither a hub folder nor a checkpoint has one of its own."""
    model = make("tiny-rn")
    export(model, "open_clip", tmp_path / "hub", "card")
    description = json.loads((tmp_path / "hub" / "open_clip_config.json").read_text())
    description["model_cfg"]["text_cfg"]["vocab_size"] = 1000
    (tmp_path / "hub" / "open_clip_config.json").write_text(json.dumps(description))
    state = model.state_dict()
    state["token_embedding.weight"] = state["token_embedding.weight"][:1000].clone()
    save_file(state, tmp_path / "hub" / "open_clip_model.safetensors")
    for source in (tmp_path / "hub", save_checkpoint(tmp_path / "epoch_1.pt", state)):
        with pytest.raises(UserError, match=r"a vocabulary of 1,000 tokens, but CLIP's has 49,408"):
            read(source, "gelu")


def test_heads_are_never_guessed(tmp_path: Path) -> None:
    """ViT-H-14 has heads of 80 in a width that heads of 64 would divide as well."""
    config = sized("tiny-vit")
    config = replace(config, vision_cfg=VisionConfig(layers=1, width=128, image_size=32, patch_size=8))
    file = save_checkpoint(tmp_path / "epoch_3.pt", Clip(config, None).state_dict())
    with pytest.raises(UserError, match=r"a CLIP of an unknown size .* number of heads is unknown"):
        read(file, "gelu")


def test_another_resolution_of_a_size_is_recognised(tmp_path: Path) -> None:
    for size, side in (("tiny-rn", 64), ("tiny-vit", 48)):
        config = sized(size)
        config = replace(config, vision_cfg=replace(config.vision_cfg, image_size=side))
        file = save_checkpoint(tmp_path / f"{size}.pt", Clip(config, None).state_dict())
        assert read(file, "gelu").config == config


def test_weights_for_images_of_another_size_keep_all_but_their_positions(tmp_path: Path) -> None:
    """As open_clip's --force-image-size: bicubic with antialiasing over the grid, nothing at the class token."""
    model = make("tiny-vit")
    contents = read(save_checkpoint(tmp_path / "a.pt", model.state_dict()), "gelu")
    assert at_size(contents, 32) is contents
    larger = at_size(contents, 48).model()
    key = "visual.positional_embedding"
    old, new = contents.tensors[key], larger.state_dict()[key]
    assert new.shape == (1 + 6 * 6, old.shape[1]) and torch.equal(new[0], old[0])
    grid = old[1:].T.reshape(1, -1, 4, 4)
    wanted = torch.nn.functional.interpolate(grid, size=(6, 6), mode="bicubic", antialias=True)
    assert torch.allclose(new[1:], wanted[0].flatten(1).T, atol=1e-6)
    rest = {name: tensor for name, tensor in larger.state_dict().items() if name != key}
    assert all(torch.equal(tensor, contents.tensors[name]) for name, tensor in rest.items())
    with pytest.raises(UserError, match="a ResNet for 32, whose position embeddings cannot be interpolated"):
        at_size(read(save_checkpoint(tmp_path / "b.pt", make("tiny-rn").state_dict()), "gelu"), 64)


def test_every_key_is_accounted_for(tmp_path: Path) -> None:
    model = make("tiny-vit")
    state = model.state_dict()
    lost, kept = "ln_final.bias", [key for key in state if key != "ln_final.bias"]
    torch.save({**{key: state[key] for key in kept}, "visual.extra": torch.zeros(2)}, tmp_path / "a.pt")
    with pytest.raises(UserError, match=rf"1 tensors are missing \({lost}\) and 1 are unknown \(visual.extra\)"):
        read(tmp_path / "a.pt", "gelu").model()
    torch.save({**state, "module.logit_scale": state["logit_scale"]}, tmp_path / "b.pt")
    with pytest.raises(UserError, match=r"1 tensors under two names \(logit_scale\)"):
        read(tmp_path / "b.pt", "gelu")
    torch.save({**state, "ln_final.weight": torch.ones(33)}, tmp_path / "c.pt")
    with pytest.raises(UserError, match=r"ln_final.weight has the shape \[33\], but the model's has \[32\]"):
        read(tmp_path / "c.pt", "gelu").model()
    torch.save({"text": torch.zeros(2)}, tmp_path / "d.pt")
    with pytest.raises(UserError, match="contains no CLIP"):
        read(tmp_path / "d.pt", "gelu")


class Harmless:
    pass


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": Harmless()}}, tmp_path / "pickle.pt")
    with pytest.raises(UserError, match="loading that could run code"):
        read(tmp_path / "pickle.pt", "gelu")
    torch.save({"state_dict": {"a": 3}}, tmp_path / "numbers.pt")
    with pytest.raises(UserError, match="contains no state dict of tensors"):
        read(tmp_path / "numbers.pt", "gelu")
    whole = save_checkpoint(tmp_path / "whole.pt", make("tiny-vit").state_dict()).read_bytes()
    for name, content in (("half.pt", whole[: len(whole) // 2]), ("empty.pt", b""), ("text.safetensors", b"no")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError):
            read(tmp_path / name, "gelu")
    with pytest.raises(UserError, match="no folder or file"):
        read(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="contains no CLIP in a known layout"):
        read(tmp_path / "folder")
    (tmp_path / "folder" / "collotype.json").write_text(json.dumps({"family": "retriever"}))
    with pytest.raises(UserError, match="contains a retriever model, not a clip model"):
        read(tmp_path / "folder")


def test_a_model_of_full_size_is_read(tmp_path: Path) -> None:
    with parameters_on_meta():
        empty = Clip(sized("RN50", "quick_gelu"), None)
    state = {key: torch.empty(value.shape, dtype=value.dtype).zero_() for key, value in empty.state_dict().items()}
    state["visual.layer4.2.conv3.weight"] += 0.5
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {**RN50, "quick_gelu": True}}))
    save_file(state, tmp_path / "open_clip_model.safetensors")
    model = read(tmp_path).model()
    assert sum(parameter.numel() for parameter in model.parameters()) == 102_007_137
    assert model.visual.layer4[2].conv3.weight.mean() == 0.5
    assert model.config == sized("RN50", "quick_gelu")
