"""Other tools' config files and command lines as recipes, without importing or running anything they name."""

from collotype.importers.detect import import_foreign, is_foreign
from collotype.importers.imported import Imported, LeftOut, Origin

__all__ = ["Imported", "LeftOut", "Origin", "import_foreign", "is_foreign"]
