"""The content of a published folder under our names, and the model made from it."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from collotype.families.retriever.backbones import BACKBONES, ROWS, BackboneSpec
from collotype.families.retriever.checkpoints.weights import name_in_file
from collotype.families.retriever.config import RetrieverConfig
from collotype.families.retriever.lora import add_lora
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.preset import Preset
from collotype.families.retriever.processor import make_processor
from collotype.runtime.digest import FileDigest
from collotype.runtime.errors import UserError
from collotype.runtime.model_folder import name_some
from collotype.runtime.tensor_files import load_strictly, parameters_on_meta
from collotype.runtime.weight_checks import unsound
from collotype.runtime.weights import Weights


@dataclass(frozen=True)
class RetrieverCheckpoint:
    """A retriever as it lies in a folder; `tensors` have canonical names and the types of the file."""

    config: RetrieverConfig
    tokenizer: Tokenizer
    tensors: Weights
    origin: str
    events: tuple[dict[str, Any], ...] = ()
    """What was not alike in the folder."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", Weights.of(self.tensors))

    @property
    def row(self) -> BackboneSpec:
        return ROWS[self.config.backbone]

    def model(self, dtype: torch.dtype | None = torch.float32) -> Retriever:
        """The model in evaluation mode, on the CPU, in `dtype` (none: as in the file). What lies in half precision and
        is kept so is mapped, and its values looked at when it is first computed with (`Retriever.check_weights`).

        Raises:
            UserError: weights are missing, left over or not finite.
        """
        from transformers.initialization import no_init_weights

        with parameters_on_meta(), no_init_weights():
            model = Retriever(self.config, make_processor(self.config, self.tokenizer))
            if self.config.lora:
                add_lora(model, self.config.lora)
        names = {key: name_in_file(model.row, key) for key in model.state_dict()}
        load_strictly(model, self.tensors, self.origin, names, dtype, lambda: advice(self.tensors, model.row))
        model.events, model.unchecked = self.events, partial(odd_weights, origin=self.origin)
        model.from_files = FileDigest.of_loaded(model, self.tensors, names)
        if dtype is not None and (dtype.itemsize > 2 or dtype is not self.tensors.dtype):
            model.check_weights()
        return model.eval()


ALIKE = 0.5
"""From which part of shared names on weights are taken for a backbone's."""


def advice(tensors: Collection[str], stated: BackboneSpec) -> str:
    """What to do about weights whose names do not fit, by the backbone whose names they are most like."""
    from transformers.initialization import no_init_weights

    found = kinds_of(tensors)

    def likeness(row: BackboneSpec) -> float:
        vocabulary = {token: number for number, token in enumerate(row.special_tokens)}
        with parameters_on_meta(), no_init_weights():
            backbone = row.build(row.configure(row.sizes["tiny"], vocabulary))
        own = kinds_of(f"backbone.{name}" for name in backbone.state_dict())
        return len(found & own) / len(found | own)

    nearest = max(BACKBONES.values(), key=likeness)
    if likeness(nearest) < ALIKE:
        return "no known version has such names: use the program that saved it, or copy the folder again"
    if likeness(nearest) > likeness(stated):
        return f"config.json says {stated.name}, but their names are {nearest.name}'s: one file is another model's"
    return f"the closest known layout is {stated.name}: copy the folder again, or use the program that saved it"


def kinds_of(names: Iterable[str]) -> set[str]:
    """Names without the numbers of layers."""
    return {re.sub(r"\d+", "N", name) for name in names}


def odd_weights(model: Retriever, origin: str) -> Sequence[dict[str, Any]]:
    """
    Raises:
        UserError: a value is not finite.
    """
    values = {name_in_file(model.row, key): tensor for key, tensor in model.state_dict().items()}
    return unsound(values, origin, model.row.zero_norms)


def read_backbone(values: dict[str, Any], origin: Path) -> tuple[BackboneSpec, dict[str, Any]]:
    """The row of a transformers configuration of any age, and that configuration with nothing left out.

    Raises:
        UserError: it is of another kind of model.
    """
    rows = {kind: row for row in BACKBONES.values() for kind in (row.model_type, *row.other_types)}
    kind = values.get("model_type")
    if kind not in rows:
        raise UserError(f"{origin} describes {unknown_kind(values, list(rows))}.")
    from transformers import CONFIG_MAPPING

    row = rows[kind]
    require_known_parts(values, row, origin)
    config = CONFIG_MAPPING[row.model_type].from_dict({**values, "model_type": row.model_type}).to_dict()
    return row, row.settle(config)


def require_known_parts(values: dict[str, Any], row: BackboneSpec, origin: Path) -> None:
    """
    Raises:
        UserError: the language model or the vision tower is of a type that transformers does not have.
    """
    from transformers import CONFIG_MAPPING

    standard = CONFIG_MAPPING[row.model_type]().to_dict()
    for part in ("text_config", "vision_config"):
        kind, own = ((where.get(part) or {}).get("model_type") for where in (values, standard))
        if kind and kind != own and kind not in CONFIG_MAPPING:
            raise UserError(
                f"{origin} has a {part} of the unknown type {kind!r}; if it is the same model as {own!r} (backbone "
                f"{row.name}), write that type, otherwise use the program that saved it."
            )


def with_attention(row: BackboneSpec, config: dict[str, Any], preset: Preset) -> dict[str, Any]:
    """The configuration with what transformers reads of a language model that looks in both directions."""
    if row.attention != "any":
        return config
    return {**config, "text_config": {**config["text_config"], "is_causal": preset.query_attention == "causal"}}


def unknown_kind(values: dict[str, Any], known: list[str]) -> str:
    """What a configuration of another kind describes, the nearest that is known, and what differs."""
    kind, made_for = values.get("model_type"), (values.get("architectures") or ["no class"])[0]
    nearest = next(iter(get_close_matches(str(kind), known, 1, cutoff=0.6)), None)
    if nearest is None:
        named = f"a {kind!r} model" if kind else "a model of no model_type"
        return f"{named} ({made_for}), but a retriever's backbone must be one of {', '.join(known)}"
    row = next(row for row in BACKBONES.values() if nearest in (row.model_type, *row.other_types))
    own = set(values) - {"model_type", "architectures", "dtype", "torch_dtype", "transformers_version"}
    from transformers import CONFIG_MAPPING

    fields = sorted(own - set(CONFIG_MAPPING[row.model_type]().to_dict()))
    differs = f"the class {made_for}" + (f" and the fields {name_some(fields)}" if fields else "")
    return (
        f"an unknown {kind!r} model. The closest known type is {nearest!r} (the backbone {row.name}), from which it "
        f"differs in {differs}; correct model_type if it is that model, otherwise use the program that saved it"
    )
