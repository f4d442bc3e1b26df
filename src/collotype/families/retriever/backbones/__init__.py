"""Vision–language backbones, one row each."""

from collotype.families.retriever.backbones import paligemma, qwen2_vl
from collotype.families.retriever.backbones.row import Backbone
from collotype.runtime.errors import UserError

BACKBONES: dict[str, Backbone] = {row.name: row for row in (paligemma.ROW, qwen2_vl.ROW)}


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
