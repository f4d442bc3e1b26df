"""Every kind of adapter that peft writes is merged as peft merges it, or refused by the name of its setting."""

import json
import re
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

import collotype
from collotype.families.retriever.checkpoints.reading import export, read
from collotype.runtime.errors import UserError
from tests.families.retriever.test_checkpoints import Engine, make

PRESET = "colqwen2-engine-0.3.4"
TWO_LAYERS = r".*language_model.*(q_proj|v_proj|up_proj)$|custom_text_proj"
SHARPER = {"use_rslora": True, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {r"layers\.1\..*\.v_proj": 3}}
MERGED = {
    "plain": {},
    "gaussian": {"init_lora_weights": "gaussian"},
    "never initialised": {"init_lora_weights": False},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "patterns and rsLoRA": SHARPER,
    "DoRA": {"use_dora": True, **SHARPER},
    "LoRA's own bias": {"lora_bias": True, "target_modules": r".*language_model.*(q_proj|v_proj)$"},
    "bias of the adapted": {"bias": "lora_only"},
    "every bias": {"bias": "all"},
    "a projection trained whole": {"modules_to_save": ["custom_text_proj"], "target_modules": ["q_proj"]},
    "an embedding": {"target_modules": ["embed_tokens", "v_proj"]},
    "DoRA on an embedding": {"target_modules": ["embed_tokens", "v_proj"], "use_dora": True},
    "some tokens": {"trainable_token_indices": [3, 5]},
    "tokens of a named layer": {"trainable_token_indices": {"embed_tokens": [0, 7, 2]}},
    "the vision tower": {"target_modules": r".*visual.*(qkv|fc1)$"},
    "patches of images": {"target_modules": [r"patch_embed.proj", "fc2"]},
    "some layers": {"target_modules": ["q_proj", "k_proj"], "layers_to_transform": [1]},
}
REFUSED = {
    "init_lora_weights = 'pissa'": {"init_lora_weights": "pissa"},
    "init_lora_weights = 'olora'": {"init_lora_weights": "olora"},
    "init_lora_weights = 'pissa_niter_4'": {"init_lora_weights": "pissa_niter_4"},
    "alora_invocation_tokens = [1, 2]": {"alora_invocation_tokens": [1, 2]},
    "use_qalora = True": {"use_qalora": True},
}


def adapt(folder: Path, **settings: object) -> peft.PeftModel:
    """A base, an adapter on it with nothing left at zero, and the adapted model."""
    base = make("colqwen2")
    export(base, "engine", folder / "base", "card")
    config = peft.LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": TWO_LAYERS, **settings})
    adapted = peft.get_peft_model(Engine(base), config)
    torch.manual_seed(0)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    adapted.peft_config["default"].base_model_name_or_path = "../base"
    adapted.save_pretrained(folder / "adapter")
    return adapted


def differences(folder: Path) -> dict[str, float]:
    """Largest difference of each weight that we read from peft's own reload and merge of the folder."""
    base = read(folder / "base", PRESET).model()
    theirs = peft.PeftModel.from_pretrained(Engine(base), folder / "adapter").merge_and_unload().state_dict()
    ours = read(folder / "adapter", PRESET)
    return {
        name: (ours.tensors[ours.row.canonical(name)].float() - tensor).abs().max().item()
        for name, tensor in theirs.items()
    }


@pytest.mark.parametrize("kind", MERGED)
def test_an_adapter_is_merged_as_peft_merges_it(kind: str, tmp_path: Path) -> None:
    adapt(tmp_path, **MERGED[kind])
    assert max(differences(tmp_path).values()) <= 1e-5
    base, found = read(tmp_path / "base", PRESET).tensors, collotype.load(tmp_path / "adapter", preset=PRESET)
    assert found.config.lora is None
    changed = {
        name for name, tensor in read(tmp_path / "adapter", PRESET).tensors.items() if not tensor.equal(base[name])
    }
    assert changed


@pytest.mark.parametrize("message", REFUSED)
def test_an_adapter_that_means_something_else_is_refused(message: str, tmp_path: Path) -> None:
    adapt(tmp_path, **REFUSED[message])
    with pytest.raises(UserError, match=re.escape(message)):
        collotype.load(tmp_path / "adapter", preset=PRESET)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("init_lora_weights", "corda"),
        ("init_lora_weights", "lora_ga"),
        ("init_lora_weights", "loftq"),
        ("init_lora_weights", "of next year"),
        ("peft_type", "LOHA"),
        ("peft_type", None),
        ("use_bdlora", {"nblocks": 2}),
        ("layer_replication", [[0, 2], [1, 2]]),
        ("target_parameters", ["mlp.experts.gate_up_proj"]),
        ("something_new", 1),
    ],
)
def test_a_setting_that_is_not_known_is_refused_by_name(key: str, value: object, tmp_path: Path) -> None:
    adapt(tmp_path)
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(UserError, match=re.escape(f"{key} = {value!r}")):
        collotype.load(tmp_path / "adapter", preset=PRESET)


@pytest.mark.parametrize("pattern", ["rank_pattern", "alpha_pattern"])
def test_two_patterns_for_one_layer_are_refused_since_peft_saves_them_sorted(pattern: str, tmp_path: Path) -> None:
    """It trains with the first that matches; its own reload takes the first by name: another scale, or an error."""
    adapt(tmp_path, **{pattern: {"q_proj": 2, r"layers\.0\.self_attn\.q_proj": 6}})
    with pytest.raises(UserError, match=r"gives .*layers\.0\.self_attn\.q_proj the values 6 and 2"):
        collotype.load(tmp_path / "adapter", preset=PRESET)


def test_pissa_saved_as_peft_says_is_plain_lora(tmp_path: Path) -> None:
    """With `path_initial_model_for_weight_conversion` peft writes what PiSSA took out of the base into A and B."""
    base = make("colqwen2")
    export(base, "engine", tmp_path / "base", "card")
    settings = peft.LoraConfig(r=4, lora_alpha=8, target_modules=TWO_LAYERS, init_lora_weights="pissa")
    adapted = peft.get_peft_model(Engine(base), settings)
    adapted.peft_config["default"].init_lora_weights = True
    adapted.save_pretrained(tmp_path / "start")
    adapted.peft_config["default"].init_lora_weights = "pissa"
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    adapted.save_pretrained(tmp_path / "adapter", path_initial_model_for_weight_conversion=str(tmp_path / "start"))
    trained = adapted.merge_and_unload().state_dict()
    found = read(tmp_path / "adapter", PRESET, str(tmp_path / "base"))
    for name, tensor in trained.items():
        torch.testing.assert_close(found.tensors[found.row.canonical(name)], tensor, atol=1e-5, rtol=0)


def test_half_precision_adapters_are_merged_in_full(tmp_path: Path) -> None:
    adapt(tmp_path)
    for file in (tmp_path / "base" / "model.safetensors", tmp_path / "adapter" / "adapter_model.safetensors"):
        save_file({key: tensor.bfloat16() for key, tensor in load_file(file).items()}, file, {"format": "pt"})
    kinds = {name: tensor.dtype for name, tensor in read(tmp_path / "adapter", PRESET).tensors.items()}
    assert kinds["custom_text_proj.weight"] == torch.float32
    assert kinds["backbone.language_model.norm.weight"] == torch.bfloat16
    assert max(differences(tmp_path).values()) <= 1e-5


@pytest.mark.parametrize("damage", ["a row for a token is gone", "another rank", "no magnitude"])
def test_an_adapter_that_its_settings_do_not_fit_is_refused(damage: str, tmp_path: Path) -> None:
    adapt(tmp_path, use_dora=True, trainable_token_indices=[3, 5])
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    if damage == "no magnitude":
        tensors = {key: tensor for key, tensor in tensors.items() if "magnitude" not in key}
    for key, tensor in tensors.items():
        if ("token" if damage.startswith("a row") else "lora_B") in key and damage != "no magnitude":
            tensors[key] = tensor[..., 1:, :].clone() if "token" in key else tensor[:, 1:].clone()
    save_file(tensors, file, {"format": "pt"})
    cause = {"a row for a token is gone": "1 rows for tokens", "another rank": "but its config implies"}
    with pytest.raises(UserError, match=cause.get(damage, "14 tensors are missing|7 tensors are missing")):
        collotype.load(tmp_path / "adapter", preset=PRESET)
