"""Vision–language backbones, one row each."""

from collotype.families.retriever.backbones import paligemma
from collotype.families.retriever.backbones.row import Backbone

BACKBONES: dict[str, Backbone] = {row.name: row for row in (paligemma.ROW,)}

__all__ = ["BACKBONES", "Backbone"]
