"""LoRA adapters as peft and colpali-engine write them: `adapter_config.json`, `adapter_model.safetensors`, and a base
that lies elsewhere.

The engine adapts the projection too, whose weight is random and lies in the base alone: without exactly that base an
adapter means nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint
from collotype.families.retriever.checkpoints.colpali_engine import PROJECTION, name_in_engine
from collotype.families.retriever.checkpoints.locations import ADAPTER_CONFIG, ADAPTER_STEM
from collotype.families.retriever.checkpoints.merging import merged, parts_of
from collotype.families.retriever.checkpoints.processors import differences, visual_budget
from collotype.families.retriever.checkpoints.weights import name_in_file
from collotype.families.retriever.lora_targets import PROJECTION as PROJECTION_MODULE
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.preset import PRESETS
from collotype.runtime.errors import UserError
from collotype.runtime.files import write_json
from collotype.runtime.model_folder import read_json, read_tokenizer
from collotype.runtime.tensor_files import read_tensors, write_tensors

ANY = frozenset(
    "r lora_alpha lora_dropout use_rslora rank_pattern alpha_pattern use_dora lora_bias fan_in_fan_out target_modules "
    "exclude_modules layers_to_transform layers_pattern modules_to_save trainable_token_indices ensure_weight_tying "
    "eva_config qalora_group_size base_model_name_or_path revision task_type auto_mapping inference_mode "
    "peft_version".split()
)
"""Settings with any value of which an adapter means what its tensors, its base and these settings say. Of which layers
it is, the tensors say."""
KNOWN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "init_lora_weights": (True, "gaussian", "eva", "orthogonal"),
    "bias": ("none", "all", "lora_only"),
    "megatron_core": ("megatron.core",),
}
"""Settings with a few such values. Any other setting has to be off."""
OFF: tuple[Any, ...] = (None, False, {}, [], "")
CHANGES_BASE = re.compile("pissa|olora|corda|lora_ga|loftq")
"""Initialisations that take something out of the base: A and B alone mean nothing on the untouched one."""


def read(folder: Path, base: RetrieverCheckpoint) -> RetrieverCheckpoint:
    """The adapter on its base.

    Raises:
        UserError: half an adapter, one on a projection that the base does not have, or a kind we do not compute.
    """
    values = read_json(folder / ADAPTER_CONFIG)
    require_known(values, folder / ADAPTER_CONFIG)
    origin = str(folder / f"{ADAPTER_STEM}.safetensors")
    parts, whole = parts_of(read_tensors(folder, ADAPTER_STEM), base)
    layers = {part.layer for part in parts}
    lacks_projection = PROJECTION not in base.tensors and PROJECTION not in whole
    if PROJECTION_MODULE in layers and lacks_projection:
        raise UserError(
            f"The adapter in {folder} needs the projection {PROJECTION_MODULE} of the base it was trained on, but "
            f"{base.origin} has none, so every embedding would be random; give the right base with --base (for "
            "published adapters a repository whose name ends in -base)."
        )
    named = {*whole, *(f"{layer}.weight" for layer in layers)}
    unplaced = sorted(name for name in named - set(base.tensors) if not name.startswith(PROJECTION_MODULE))
    if unplaced or not (parts or whole):
        which = f"{len(unplaced)} layers ({unplaced[0]}, …) that {base.origin} lacks" if unplaced else "no layer"
        raise UserError(f"The adapter in {folder} adapts {which}; give the base it was trained on with --base.")
    # the processor an adapter was trained with lies beside it; the base's may allow pages of any size
    known = PRESETS.get(base.config.preset.name, base.config.preset)
    budget = known.within(visual_budget(folder)).max_visual_tokens
    config = replace(base.config, preset=replace(base.config.preset, max_visual_tokens=budget))
    if PROJECTION in whole:
        config = replace(config, dim=whole.shapes[PROJECTION][0])
    tokenizer = read_tokenizer(folder) if (folder / "tokenizer.json").is_file() else base.tokenizer
    events = (*base.events, *differences(folder, base.config.backbone_config))
    base = RetrieverCheckpoint(config, tokenizer, base.tensors | whole, base.origin, events)
    return merged(base, values, parts, origin)


def require_known(values: Mapping[str, Any], file: Path) -> None:
    """
    Raises:
        UserError: a setting with which the tensors may mean something else than we would compute.
    """
    if not all(type(values.get(key)) in (int, float) for key in ("r", "lora_alpha")):
        raise UserError(f"{file} contains no rank `r` or no `lora_alpha`; copy the folder again.")
    for key, value in values.items():
        if key in ANY or value in KNOWN.get(key, ()) or (value in OFF and key != "peft_type"):
            continue
        if key == "init_lora_weights" and CHANGES_BASE.match(str(value)):
            raise UserError(
                f"{file} has init_lora_weights = {value!r}, which changed the base, so the adapter does not fit the "
                "published base; save it again where it was trained, by peft's save_pretrained with "
                "path_initial_model_for_weight_conversion, or merged into its base."
            )
        raise UserError(
            f"{file} has {key} = {value!r}, which is not supported; merge the adapter into its base where it was "
            "trained (peft's merge_and_unload), and give that model."
        )


def write(model: Retriever, folder: Path, base: str) -> None:
    """Writes the model's adapter in peft's layout, whose base lies in `base`, from `folder`."""
    lora, row = model.config.lora, model.row
    assert lora
    state = {name_in_file(row, key): tensor for key, tensor in model.state_dict().items() if ".lora_" in key}
    tensors = {f"base_model.model.{name_in_engine(row, name)}": tensor for name, tensor in state.items()}
    write_json(
        folder / ADAPTER_CONFIG,
        {
            "peft_type": "LORA",
            "task_type": "FEATURE_EXTRACTION",
            "base_model_name_or_path": base,
            "r": lora.rank,
            "lora_alpha": lora.alpha,
            "lora_dropout": lora.dropout,
            "use_rslora": lora.rank_stabilised,
            "bias": "none",
            "target_modules": [name_in_engine(row, name) for name in lora.targets],
            "inference_mode": True,
        },
    )
    write_tensors(tensors, folder / f"{ADAPTER_STEM}.safetensors")
