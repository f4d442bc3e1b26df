"""Other tools' config files and command lines as recipes, without importing or running anything they name."""

from collotype.recipe.imports.foreign import import_foreign, is_foreign
from collotype.recipe.imports.imported import Imported, LeftOut, Origin

__all__ = ["Imported", "LeftOut", "Origin", "import_foreign", "is_foreign"]
