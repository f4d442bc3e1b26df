"""Merges peft adapters into their base, by peft itself.

The tensors' names say which layers are adapted, in the names of the model that was trained; only they are translated.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint
from collotype.families.retriever.checkpoints.weights import canonical
from collotype.families.retriever.model import Retriever
from collotype.runtime.errors import UserError
from collotype.runtime.model_folder import name_some
from collotype.runtime.weights import Made, Weights

if TYPE_CHECKING:
    from peft import LoraConfig
    from peft.tuners.tuners_utils import BaseTunerLayer

PREFIX = "base_model.model."
"""What peft puts before the names of the model it adapted."""
PART = re.compile(r"(?P<layer>.+)\.(?P<part>lora_\w+(\.weight|\.bias)?|token_adapter\.trainable_tokens_delta)")
TOKENS = "token_adapter.trainable_tokens_delta"
ADAPTED = (nn.Linear, nn.Embedding, nn.Conv2d, nn.Conv3d)
"""What peft has a plain LoRA layer for."""


@dataclass(frozen=True)
class AdapterPart:
    """A tensor of an adapter, none of the model's own."""

    trained: str
    """The layer's name in the model that was trained, by which peft's patterns go."""
    layer: str
    """Its canonical name."""
    name: str
    """lora_A.weight, lora_magnitude_vector, …"""
    tensor: Tensor


def parts_of(tensors: Weights, base: RetrieverCheckpoint) -> tuple[list[AdapterPart], Weights]:
    """The adapter's own tensors, and those that replace the base's (`modules_to_save`, biases), canonically named."""
    row, parts, whole = base.row, [], []
    for key in tensors:
        if found := PART.fullmatch(key):
            trained = found["layer"].removeprefix(PREFIX)
            layer = row.canonical(f"{trained}.weight").removesuffix(".weight")
            name = found["part"].replace("_vector.weight", "_vector")
            parts.append(AdapterPart(trained, layer, name, tensors[key]))
        else:
            whole.append(key)
    return parts, canonical(row, tensors.named({key: key for key in whole}), base.origin)


def merged(
    base: RetrieverCheckpoint, settings: Mapping[str, Any], parts: list[AdapterPart], origin: str
) -> RetrieverCheckpoint:
    """The base with the adapter in its weights, a layer when it is asked for; these are float32, the others stay as
    they are.

    Raises:
        UserError: half an adapter, or one that peft does not merge.
    """
    model = base.model(None)
    modules = {model.row.canonical(f"{name}.weight").removesuffix(".weight"): name for name, _ in model.named_modules()}
    layers = {part.layer: modules[part.layer] for part in parts}
    for layer, module in layers.items():
        if not isinstance(adapted := model.get_submodule(module), ADAPTED):
            raise UserError(f"{origin} adapts {layer}, a {type(adapted).__name__}, which is not supported.")
    with peft_errors(origin):
        tuners = adapted_by_peft(model, peft_config(settings, parts, modules, origin), parts, modules, origin)
    touched = {}
    for layer, module in layers.items():
        for name, there in base_of(tuners[module]).items():
            make = partial(merged_parameter, tuners[module], name, origin)
            touched[f"{layer}.{name}"] = Made(make, tuple(there.shape), torch.float32, there.dtype)
    return replace(base, tensors=base.tensors | Weights(touched), origin=f"{origin} on {base.origin}")


@contextmanager
def peft_errors(origin: str) -> Iterator[None]:
    """Turns peft's errors into a UserError."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, re.error) as error:
        problem = str(error).split("\n")[0]
        raise UserError(f"peft cannot merge {origin} ({problem}); merge it where it was trained.") from error


def base_of(tuner: "BaseTunerLayer") -> dict[str, Tensor]:
    return {name: parameter.data for name, parameter in tuner.get_base_layer().named_parameters()}


def merged_parameter(tuner: "BaseTunerLayer", name: str, origin: str) -> Tensor:
    """A parameter of an adapted layer, merged in float32; the layer is afterwards as it was."""
    before, layer = base_of(tuner), tuner.get_base_layer()
    try:
        with peft_errors(origin), torch.no_grad():
            for key, value in before.items():
                layer.get_parameter(key).data = value.to(torch.float32, copy=True)
            tuner.merge()
            return base_of(tuner)[name]
    finally:
        for key, value in before.items():
            layer.get_parameter(key).data = value
        tuner.merged_adapters = []


def adapted_by_peft(
    model: Retriever, config: "LoraConfig", parts: list[AdapterPart], modules: Mapping[str, str], origin: str
) -> dict[str, Any]:
    """The adapted layers (peft's `BaseTunerLayer`, modules) with their adapter, by their names in the model."""
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    given = {f"{PREFIX}{modules[part.layer]}.{part.name}": part.tensor.float() for part in parts}
    adapted = get_peft_model(model, config)
    wanted = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    missing, unknown = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    if missing or unknown:
        raise UserError(
            f"{origin} does not match its config: {len(missing)} tensors are missing ({name_some(missing)}) and "
            f"{len(unknown)} are unknown ({name_some(unknown)}); copy the folder again."
        )
    for key, tensor in wanted.items():
        if tensor.shape != given[key].shape:
            raise UserError(
                f"{origin}: {key} has the shape {list(given[key].shape)}, but its config implies {list(tensor.shape)}."
            )
    tuners = {
        module: tuner_of(model.get_submodule(module), origin) for module in {modules[part.layer] for part in parts}
    }
    for tuner in tuners.values():
        own = [tensor for name, tensor in tuner.named_parameters() if not name.startswith("base_layer.")]
        for tensor in own:
            tensor.data = tensor.data.float()
    set_peft_model_state_dict(adapted, given)
    return tuners


def tuner_of(module: nn.Module, origin: str) -> Any:
    """
    Raises:
        UserError: a layer has an adapter on an adapter.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    tuner = getattr(module, "token_adapter", module)
    if isinstance(getattr(tuner, "base_layer", None), BaseTunerLayer):
        raise UserError(
            f"{origin} adapts both the tokens and the matrix of one layer, which is not supported; merge it where it "
            "was trained."
        )
    return tuner


def peft_config(
    settings: Mapping[str, Any], parts: list[AdapterPart], modules: Mapping[str, str], origin: str
) -> "LoraConfig":
    """The adapter's settings for the layers that it has tensors of, each by name instead of by pattern."""
    from peft import LoraConfig

    def of_layer(default: str, pattern: str) -> dict[str, float]:
        by_key = settings.get(pattern) or {}
        chosen = {part.layer: matching(by_key, part.trained, settings[default]) for part in adapted}
        for layer, values in chosen.items():
            if len(values) > 1:
                raise UserError(
                    f"{origin}: {pattern} gives {layer} the values {' and '.join(map(str, values))}; peft trains with "
                    "the first but sorts them when it saves, so the trained value is unknown; keep only the right one."
                )
        return {re.escape(modules[layer]): values[0] for layer, values in chosen.items()}

    adapted = [part for part in parts if part.name != TOKENS]
    tokens = {modules[part.layer]: token_indices(settings, part, origin) for part in parts if part.name == TOKENS}
    return LoraConfig(
        r=settings["r"],
        lora_alpha=settings["lora_alpha"],
        target_modules=sorted({modules[part.layer] for part in adapted}),
        rank_pattern=of_layer("r", "rank_pattern"),
        alpha_pattern=of_layer("lora_alpha", "alpha_pattern"),
        trainable_token_indices=tokens or None,
        **{key: settings[key] for key in ("use_rslora", "use_dora", "lora_bias") if settings.get(key)},
    )


def matching(by_key: Mapping[str, float], name: str, default: float) -> list[float]:
    """The values of the keys that match a layer's name as peft matches them, without repetitions."""
    found = dict.fromkeys(value for key, value in by_key.items() if re.match(rf"(.*\.)?({key})$", name))
    return list(found) or [default]


def token_indices(settings: Mapping[str, Any], part: AdapterPart, origin: str) -> list[int]:
    """
    Raises:
        UserError: no setting says of which tokens these rows are.
    """
    said = settings.get("trainable_token_indices")
    by_layer = said if isinstance(said, Mapping) else {"": said}
    found = next((rows for name, rows in by_layer.items() if f".{part.trained}".endswith(name and f".{name}")), None)
    if not isinstance(found, list) or len(found) != len(part.tensor):
        raise UserError(
            f"{origin} has {len(part.tensor)} rows for tokens of {part.trained}, but its trainable_token_indices are "
            f"{said!r}; copy the folder again."
        )
    return found
