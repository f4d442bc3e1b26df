"""The list of model families with an import path each; a family is imported when it is used.

A family is a package. Three of its modules are asked for by name: `recipe` (its `SPEC`, a `RecipeSpec`) and `facts`
(its `SPEC`, what makes a `RecipeFacts` of a recipe), both without torch; and `commands` (its `SPEC`, a `FamilySpec`:
what the command line and the engine ask of it).
"""

import importlib
from typing import Any

FAMILIES = {
    "retriever": "collotype.families.retriever",
    "clip": "collotype.families.clip",
    "beit3": "collotype.families.beit3",
}
"""Where a model may be of several families, the last that can load it takes it."""


def spec(family: str, module: str) -> Any:
    """`SPEC` of one of a family's three modules."""
    return importlib.import_module(f"{FAMILIES[family]}.{module}").SPEC
