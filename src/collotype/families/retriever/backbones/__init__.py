"""Vision–language backbones, one row each."""

from collotype.families.retriever.backbones import (
    gemma3,
    idefics3,
    modernvbert,
    paligemma,
    qwen2_5_vl,
    qwen2_vl,
    qwen3_5,
    qwen3_vl,
)
from collotype.families.retriever.backbones.row import Backbone
from collotype.runtime.errors import UserError

BACKBONES: dict[str, Backbone] = {
    module.ROW.name: module.ROW
    for module in (paligemma, qwen2_vl, qwen2_5_vl, qwen3_vl, qwen3_5, idefics3, modernvbert, gemma3)
}


def find_backbone(name: str, size: str | None = None) -> Backbone:
    """The row of that name, if it has that size (none: any).

    Raises:
        UserError: no such backbone or size.
    """
    if name not in BACKBONES:
        raise UserError(f"No backbone {name!r}; known are {', '.join(BACKBONES)}.")
    if size and size not in BACKBONES[name].sizes:
        raise UserError(f"The backbone {name} has no size {size!r}; it has {', '.join(BACKBONES[name].sizes)}.")
    return BACKBONES[name]


__all__ = ["BACKBONES", "Backbone", "find_backbone"]
