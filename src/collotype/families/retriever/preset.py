"""Presets: the texts and the attention a checkpoint was trained with. They travel with the model."""

from dataclasses import dataclass
from typing import Literal

from collotype.runtime.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How a query and a page become token ids."""

    name: str
    query_prefix: str
    augmentation_token: str
    augmentation_count: int
    query_newline: bool
    bos_count: int
    page_prompt: str
    page_newline: bool
    query_attention: Literal["causal", "bidirectional"]


PRESETS = {
    preset.name: preset
    for preset in (
        # colpali-engine 0.1.x on transformers 4.41: the code of the paper
        Preset(
            name="colpali-paper",
            query_prefix="Question: ",
            augmentation_token="<unused0>",
            augmentation_count=5,
            query_newline=True,
            bos_count=1,
            page_prompt="Describe the image.",
            page_newline=True,
            query_attention="causal",
        ),
    )
}


def find_preset(name: str) -> Preset:
    if name not in PRESETS:
        raise UserError(f"No preset {name!r}; the known presets are {', '.join(PRESETS)}.")
    return PRESETS[name]
