"""LoRA adapters as peft and colpali-engine write them: `adapter_config.json`, `adapter_model.safetensors`, and a base
that lies elsewhere.

The engine adapts the projection too, whose weight is random and lies in the base alone: without exactly that base an
adapter means nothing.
"""

from dataclasses import replace
from pathlib import Path

from collotype.families.retriever.backbones import BACKBONES
from collotype.families.retriever.layouts.contents import Contents
from collotype.families.retriever.layouts.engine import PROJECTION, name_in_engine
from collotype.families.retriever.layouts.processors import visual_budget
from collotype.families.retriever.layouts.weights import canonical, name_in_file
from collotype.families.retriever.lora import PROJECTION as PROJECTION_MODULE
from collotype.families.retriever.lora import Lora
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.preset import PRESETS
from collotype.runtime.errors import UserError
from collotype.runtime.files import write_json
from collotype.runtime.model_folder import read_json, read_tensors, read_tokenizer, write_tensors

DESCRIPTION, STEM = "adapter_config.json", "adapter_model"
A = ".lora_A.weight"
NOT_SUPPORTED = {"use_dora": False, "bias": "none", "rank_pattern": {}, "alpha_pattern": {}, "peft_type": "LORA"}
"""Settings that change what the adapter computes, with the value that leaves it the LoRA we know."""


def recognises(folder: Path) -> bool:
    return (folder / DESCRIPTION).is_file()


def base_of(folder: Path) -> str:
    """The base an adapter names: a path, taken from the adapter's folder if it is relative, or a hub's repository
    at the revision that peft notes beside it, if it does.

    Raises:
        UserError: it names none.
    """
    values = read_json(folder / DESCRIPTION)
    base, revision = values.get("base_model_name_or_path"), values.get("revision")
    if not base:
        raise UserError(f"{folder / DESCRIPTION} names no base model; give it with --base.")
    if (folder / base).is_dir():
        return str(folder / base)
    return f"{base}@{revision}" if revision and "@" not in base else base


def read(folder: Path, base: Contents) -> Contents:
    """The adapter on its base.

    Raises:
        UserError: half an adapter, one on a projection that the base does not have, or a kind we do not compute.
    """
    values = read_json(folder / DESCRIPTION)
    for key, plain in NOT_SUPPORTED.items():
        if (values.get(key) or plain) != plain:
            raise UserError(
                f"{folder / DESCRIPTION} has {key} = {values[key]!r}, which is not supported ({plain!r} is)."
            )
    row, origin = BACKBONES[base.config.backbone], str(folder / f"{STEM}.safetensors")
    tensors = canonical(row, read_tensors(folder, STEM), origin)
    targets = tuple(sorted(name.removesuffix(A) for name in tensors if name.endswith(A)))
    if PROJECTION_MODULE in targets and PROJECTION not in base.tensors:
        raise UserError(
            f"The adapter in {folder} adapts the projection {PROJECTION_MODULE}, whose own weight lies in the base it "
            f"was trained on and not in {base.origin}: without it every embedding would be random. Give the right base "
            "with --base (for published adapters a repository whose name ends in -base)."
        )
    unplaced = sorted(f"{name}.weight" for name in targets if f"{name}.weight" not in base.tensors)
    if unplaced or not targets:
        which = f"{len(unplaced)} layers ({unplaced[0]}, …) that {base.origin} lacks" if unplaced else "no layer"
        raise UserError(f"The adapter in {folder} adapts {which}; give the base it was trained on with --base.")
    if not all(isinstance(values.get(key), int | float) for key in ("r", "lora_alpha")):
        raise UserError(f"{folder / DESCRIPTION} does not say the rank `r` and `lora_alpha`; copy the folder again.")
    lora = Lora(
        rank=values["r"],
        alpha=values["lora_alpha"],
        dropout=values.get("lora_dropout", 0.0),
        rank_stabilised=values.get("use_rslora", False),
        targets=targets,
    )
    # the processor an adapter was trained with lies beside it; the base's may allow pages of any size
    budget = visual_budget(folder, row) or PRESETS.get(base.config.preset.name, base.config.preset).max_visual_tokens
    config = replace(base.config, lora=lora, preset=replace(base.config.preset, max_visual_tokens=budget))
    if PROJECTION in tensors:
        config = replace(config, dim=len(tensors[PROJECTION]))
    tokenizer = read_tokenizer(folder) if (folder / "tokenizer.json").is_file() else base.tokenizer
    return Contents(config, tokenizer, {**base.tensors, **tensors}, f"{origin} on {base.origin}")


def write(model: Retriever, folder: Path, base: str) -> None:
    """Writes the model's adapter in peft's layout, whose base lies in `base`, from `folder`."""
    lora, row = model.config.lora, model.row
    state = {name_in_file(row, key): tensor for key, tensor in model.state_dict().items() if ".lora_" in key}
    tensors = {f"base_model.model.{name_in_engine(row, name)}": tensor for name, tensor in state.items()}
    write_json(
        folder / DESCRIPTION,
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
    write_tensors(tensors, folder / f"{STEM}.safetensors")
