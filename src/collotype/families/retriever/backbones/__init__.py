"""Vision–language backbones, a spec each."""

from collotype.families.retriever.backbones import (
    gemma3,
    idefics3,
    modernvbert,
    paligemma,
    qwen2_5_vl,
    qwen2_vl,
    qwen3_5,
    qwen3_vl,
    text,
)
from collotype.families.retriever.backbones.spec import BackboneSpec
from collotype.families.retriever.preset import Preset
from collotype.families.retriever.transforms import Square
from collotype.runtime.errors import UserError

BACKBONES: dict[str, BackboneSpec] = {
    module.ROW.name: module.ROW
    for module in (paligemma, qwen2_vl, qwen2_5_vl, qwen3_vl, qwen3_5, idefics3, modernvbert, gemma3)
}


ROWS = {**BACKBONES, text.ROW.name: text.ROW}
"""With the tower of a student, which looks at no page."""


def find_backbone(name: str, size: str | None = None) -> BackboneSpec:
    """The row of that name, if it has that size (none: any).

    Raises:
        UserError: no such backbone or size.
    """
    if name not in ROWS:
        raise UserError(f"Unknown backbone {name!r}; the known ones are {', '.join(ROWS)}.")
    if size and size not in ROWS[name].sizes:
        raise UserError(f"The backbone {name} has no size {size!r}; it has {', '.join(ROWS[name].sizes)}.")
    return ROWS[name]


def require_preset(row: BackboneSpec, preset: Preset) -> None:
    """
    Raises:
        UserError: the backbone always attends in one way, and the preset in the other.
    """
    if row.attention in ("causal", "bidirectional") and row.attention != preset.query_attention:
        raise UserError(
            f"The backbone {row.name} is {row.attention}, but the preset {preset.name} is {preset.query_attention}; "
            "choose one of its presets (`collotype list presets`)."
        )


def require_budget(row: BackboneSpec, budget: int | None) -> None:
    """
    Raises:
        UserError: a visual budget is asked for, and the backbone sees every page in one square.
    """
    if budget and isinstance(row.layout(row.sizes["tiny"], None), Square):
        raise UserError(
            f"max_visual_tokens is {budget}, but the backbone {row.name} scales every page to a square with a fixed "
            "number of tokens; leave it out."
        )


__all__ = ["BACKBONES", "ROWS", "BackboneSpec", "find_backbone", "require_budget", "require_preset"]
