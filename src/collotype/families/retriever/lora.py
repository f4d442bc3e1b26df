"""LoRA (arXiv 2106.09685) on a retriever, through peft: low-rank updates of frozen linear layers."""

import copy
from dataclasses import replace
from typing import Any

from torch import nn

from collotype.families.retriever.config import Lora
from collotype.families.retriever.model import Retriever


def linear_layers(model: Retriever) -> dict[str, str]:
    """The linear layers' names: canonical -> in this version of transformers."""
    named = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return {model.row.canonical(f"{name}.weight").removesuffix(".weight"): name for name in named}


def add_lora(model: Retriever, lora: Lora, gaussian: bool = True) -> Retriever:
    """Freezes the model and gives its `targets` their low-rank updates, in place.

    Args:
        gaussian: draw A from N(0, 1 / rank) as the published recipes do; else as peft does. B is zero.
    """
    from peft import LoraConfig, inject_adapter_in_model

    layers = linear_layers(model)
    settings = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft divides by it, and takes any number
        lora_dropout=lora.dropout,
        use_rslora=lora.rank_stabilised,
        target_modules=[layers[name] for name in lora.targets],
        init_lora_weights="gaussian" if gaussian else True,
    )
    inject_adapter_in_model(settings, model)
    model.config = replace(model.config, lora=lora)
    return model


def with_shared_weights(model: Retriever) -> Retriever:
    """Another model of the same weights, which are there once: it can be merged, and the first stays as it is."""
    shared: dict[int, Any] = {id(one): nn.Parameter(one.detach(), one.requires_grad) for one in model.parameters()}
    # its open files are not copied; that the weights are others then, it sees
    shared[id(model.from_files)] = model.from_files
    return copy.deepcopy(model, shared)


def merge_lora(model: Retriever) -> Retriever:
    """Adds the updates to the weights they belong to, in place; a plain model again."""
    return unload_lora(model, merge=True)


def unload_lora(model: Retriever, merge: bool = False) -> Retriever:
    """Takes the updates away, in place; what is left is the base."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            layer = module.get_base_layer()
            if merge:
                # what is written into is this layer's alone, whoever else has its weights
                for parameter in layer.parameters():
                    parameter.data = parameter.data.clone()
                module.merge()
            model.set_submodule(name, layer)
    model.config = replace(model.config, lora=None)
    return model
